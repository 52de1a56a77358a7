/** Two clusters' link managers as values, with real keys and views in memory. */
import { keyIdOf, keyPairOfSecret, sign, type KeyPair } from '../../../src/cipher/signature.ts';
import { fromBase64url, toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { sha256 } from '../../../src/cipher/digest.ts';
import type { Clock } from '../../../src/host/clock.ts';
import { pairTagOf } from '../../../src/identity/derive.ts';
import { holdingIdentityOf } from '../../../src/identity/holding-identity.ts';
import { parseX500, type X500Name } from '../../../src/identity/x500.ts';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import type { VirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import type { InRecord, OutRecord } from '../../../src/messages/grammar/record.ts';
import type { GroupParameters } from '../../../src/messages/member-to-all.group-parameters.ts';
import type { Member } from '../../../src/messages/member-to-all.member.ts';
import type { HostedIdentity } from '../../../src/messages/member-to-link-manager.hosted-identity.ts';
import { createLog } from '../../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../../src/observability/metrics.ts';
import type { ChangingView } from '../../../src/shell/view.ts';
import type { LinkManagerLimits } from '../../../src/workers/link-manager/config.ts';
import type { LinkMachine } from '../../../src/workers/link-manager/machine.ts';
import { createLinkManagerWorker, deriveLinkKey, type KeyAgreement, type LinkKey } from '../../../src/workers/link-manager/worker.ts';

export type MapView<Body> = ChangingView<Body> & { readonly map: Map<string, Body> };

/** Tells of every change. */
class ToldMap<Body> extends Map<string, Body> {
  readonly listeners = new Set<() => void>();
  override set(key: string, body: Body): this {
    super.set(key, body);
    // A map is filled before its fields are there.
    this.listeners?.forEach((listener) => listener());
    return this;
  }
  override delete(key: string): boolean {
    const there = super.delete(key);
    this.listeners.forEach((listener) => listener());
    return there;
  }
}

export const viewOf = <Body>(entries: readonly (readonly [string, Body])[]): MapView<Body> => {
  const map = new ToldMap(entries);
  return {
    map,
    get: (key) => map.get(key),
    entries: () => map.entries(),
    refresh: async () => {},
    onChange: (listener) => {
      map.listeners.add(listener);
      return () => void map.listeners.delete(listener);
    },
  };
};

/** xorshift32: chance that a seed repeats. */
export const createChance = (seed: number): { next(): number; bytes(length: number): Uint8Array } => {
  let state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next();
  return { next, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)) };
};

export const groupId = '3e7c1f0a-0000-4000-8000-000000000001';
const nameOf = (text: string): X500Name => {
  const parsed = parseX500(text);
  if (parsed.type !== 'name') throw new Error(parsed.reason);
  return parsed.name;
};

export type Party = { readonly name: X500Name; readonly keys: KeyPair; readonly shortHash: string; readonly url: string };

const partyOf = async (organisation: string, port: number): Promise<Party> => {
  const name = nameOf(`O=${organisation}, L=London, C=GB`);
  const keys = await keyPairOfSecret('CORDA.EDDSA.ED25519', sha256(utf8(`session key of ${organisation}`)));
  return { name, keys, shortHash: holdingIdentityOf(name, groupId).shortHash, url: `https://localhost:${port}` };
};

export const alice = await partyOf('Alice', 8080);
export const bob = await partyOf('Bob', 8081);
export const carol = await partyOf('Carol', 8080);
export const tag = pairTagOf(groupId, alice.name, bob.name);

export const memberOf = (party: Party): Member => ({
  groupId,
  x500Name: party.name,
  status: 'ACTIVE',
  serial: 1,
  memberContext: {},
  mgmContext: {},
  endpoints: [{ url: party.url, protocolVersion: 1 }],
  sessionKeys: [{ publicKey: toBase64url(party.keys.publicKey), spec: 'EdDSA' }],
  ledgerKeys: [],
});

export const hostedOf = (party: Party): HostedIdentity => ({
  holdingIdentity: holdingIdentityOf(party.name, groupId),
  sessionKey: { id: keyIdOf(party.keys.publicKey), publicKey: toBase64url(party.keys.publicKey), spec: 'EdDSA' },
});

export const parametersOf = (protocolMode: GroupParameters['p2p']['protocolMode']): GroupParameters => ({
  groupId,
  epoch: 1,
  parameters: {},
  p2p: { protocolMode, sessionPki: 'NoPKI', sessionTrustRoots: [], tlsType: 'OneWay', tlsTrustRoots: [] },
});

export type ClusterOptions = {
  readonly hosts: readonly Party[];
  readonly members: readonly Party[];
  readonly clock: Clock;
  readonly random: (length: number) => Uint8Array;
  readonly mode?: GroupParameters['p2p']['protocolMode'];
  readonly limits?: Partial<LinkManagerLimits>;
  readonly keyAgreement?: KeyAgreement;
  readonly keys?: readonly [LinkKey, ...LinkKey[]];
};

/** One passphrase for both clusters of a test, as nobody would have it: neither opens what the other sealed, by its place. */
export const linkKey = await deriveLinkKey({ passphrase: 'of tests', salt: 'of tests', iterations: 1 });

export type ClusterViews = {
  readonly members: MapView<Member>;
  readonly hostedIdentities: MapView<HostedIdentity>;
  readonly groupParameters: MapView<GroupParameters>;
  readonly virtualNodes: MapView<VirtualNode>;
};

export type Cluster = {
  readonly machine: LinkMachine;
  readonly views: ClusterViews;
  readonly metrics: Metrics;
  readonly logged: string[];
  /** The answer record that crypto would give. */
  readonly answerSign: (record: OutRecord) => Promise<{ requestId: string; outcome: { type: 'done'; value: unknown } }>;
};

export const inRecordOf = (record: OutRecord): InRecord => ({ ...record, partition: 0, offset: 0, timestamp: 0 });

export const createCluster = ({ hosts, members, clock, random, mode = 'Authenticated_Encryption', limits, keyAgreement, keys = [linkKey] }: ClusterOptions): Cluster => {
  const views: ClusterViews = {
    members: viewOf(members.map((party) => [`${groupId}/${party.name}`, memberOf(party)] as const)),
    hostedIdentities: viewOf(hosts.map((party) => [party.shortHash, hostedOf(party)] as const)),
    groupParameters: viewOf([[groupId, parametersOf(mode)]]),
    virtualNodes: viewOf<VirtualNode>([]),
  };
  const metrics = createMetrics();
  const logged: string[] = [];
  const log = createLog({ level: 'warn', write: (line) => logged.push(line) });
  const worker = createLinkManagerWorker({
    views, keys, clock, log, metrics, random, ...(limits === undefined ? {} : { limits }), ...(keyAgreement === undefined ? {} : { keyAgreement }),
  });
  return {
    // The worker's type hides what its machine's state is made of.
    machine: worker.machine as LinkMachine,
    views,
    metrics,
    logged,
    answerSign: async (record) => {
      const decoded = decode(allToCryptoSign, inRecordOf(record));
      if (decoded.type !== 'message') throw new Error('not a request to sign');
      const { id, body } = decoded.delivery;
      const party = hosts.find((one) => one.shortHash === body.tenant && keyIdOf(one.keys.publicKey) === body.keyId);
      if (party === undefined) throw new Error('a key that this cluster does not have');
      const data = fromBase64url(body.data);
      const signature = await sign({ scheme: 'CORDA.EDDSA.ED25519', spec: 'EdDSA', privateKey: party.keys.privateKey, data });
      return { requestId: id, outcome: { type: 'done', value: { signature: toBase64url(signature), spec: 'EdDSA', publicKey: toBase64url(party.keys.publicKey) } } };
    },
  };
};
