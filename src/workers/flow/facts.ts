/** The room's view of the world: virtual nodes, CPIs, code and members as other rooms publish them. */
import { concat, fromBase64url, textOf } from '../../cipher/bytes.ts';
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { dbToFlowCpk } from '../../messages/db-to-flow.cpk.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import type { Member } from '../../messages/member-to-all.member.ts';
import type { View } from '../../shell/view.ts';
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import { parseX500 } from '../../identity/x500.ts';
import type { FlowEvent } from './engine/event.ts';
import type { Facts } from './engine/facts.ts';
import { createPlaces } from './places.ts';

export type CpkChunk = BodyOf<typeof dbToFlowCpk>;

export type FlowViews = {
  readonly virtualNodes: View<VirtualNode>;
  readonly cpis: View<CpiMetadata>;
  readonly cpks: View<CpkChunk>;
  readonly members: View<Member>;
  readonly groupParameters: View<GroupParameters>;
};

export type ViewedFacts = Facts & {
  /** Brings views up to date, once, where these events need what they do not have. */
  prepare(events: readonly FlowEvent[]): Promise<void>;
};

export const createFacts = (views: FlowViews, { bundlesMax }: { readonly bundlesMax: number }): ViewedFacts => {
  const bundles = new Map<string, string>();
  // A flow that is rebuilt asks for code outside of `prepare`; what it misses is fetched before it is tried again.
  let missed = false;
  const facts: Facts = {
    virtualNode: (shortHash) => views.virtualNodes.get(shortHash),
    cpi: (fullChecksum) => views.cpis.get(fullChecksum),
    bundle: (cpkHash) => {
      const known = bundles.get(cpkHash);
      if (known !== undefined) return known;
      const code = assemble(cpkHash, views.cpks);
      if (code === undefined) {
        missed = true;
        return undefined;
      }
      for (const oldest of bundles.keys()) if (bundles.size >= bundlesMax) bundles.delete(oldest);
      bundles.set(cpkHash, code);
      return code;
    },
    member: (groupId, x500Name) => views.members.get(`${groupId}/${x500Name}`),
    locate: createPlaces(views.cpks).locate,
    members: (groupId) => [...views.members.entries()].map(([, member]) => member).filter((member) => member.groupId === groupId),
    groupParameters: (groupId) => views.groupParameters.get(groupId),
  };
  return {
    ...facts,
    prepare: async (events) => {
      if (!missed && !events.some((event) => lacks(event, facts))) return;
      missed = false;
      await Promise.all([views.virtualNodes.refresh(), views.cpis.refresh(), views.cpks.refresh(), views.members.refresh()]);
    },
  };
};

/** Whether a flow that is to begin lacks its virtual node, its CPI, or code. */
const lacks = (event: FlowEvent, facts: Facts): boolean => {
  const shortHash = nodeNamedBy(event);
  if (shortHash === undefined) return false;
  const node = facts.virtualNode(shortHash);
  const cpi = node === undefined ? undefined : facts.cpi(node.cpiFullChecksum);
  return cpi === undefined || cpi.cpks.some(({ hash, flows }) => flows.length > 0 && facts.bundle(hash) === undefined);
};

const nodeNamedBy = (event: FlowEvent): string | undefined => {
  if (event.type === 'start') return event.body.holdingIdentity.shortHash;
  if (event.type !== 'message' || event.message?.init === undefined) return undefined;
  const name = parseX500(event.destination);
  return name.type === 'name' ? holdingIdentityOf(name.name, event.groupId).shortHash : undefined;
};

const assemble = (cpkHash: string, chunks: View<CpkChunk>): string | undefined => {
  const count = chunks.get(`${cpkHash}/0`)?.count;
  if (count === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const chunk = chunks.get(`${cpkHash}/${index}`);
    if (chunk === undefined) return undefined;
    parts.push(fromBase64url(chunk.bytes));
  }
  return textOf(concat(...parts));
};
