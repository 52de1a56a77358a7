/**
 * The list as the manager writes it: changes gather while a version is being signed, the next version takes them all, and each cluster
 * gets what changed. Who missed a version asks, and gets everything behind the version it has, in pages.
 *
 * - **L6** versions and epochs rise by one; one version is signed once, and it is signed before anybody is told;
 * - **L7** what a recipient is sent of a change does not depend on how many members there are, and there are as many as clusters.
 */
import { canonicalJson } from '../../../cipher/canonical-json.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { allToCryptoSign } from '../../../messages/all-to-crypto.sign.ts';
import { memberToMemberGroup } from '../../../messages/member-to-member.group.ts';
import { peerMessageTtlMs, toldPerCluster } from '../config.ts';
import type { AnswerEvent } from '../event.ts';
import { byName, entryOf, leafOf, parametersDigest, rootOfRoster, statementInput, type Entry, type Statement } from '../peer/entry.ts';
import type { ListPayload, PeerMessage } from '../peer/peer-message.ts';
import { askToSign, say } from '../peer/say.ts';
import { keysIn } from '../peer/context-map.ts';
import type { MgmFacts, MgmState, MgmStepped, RosterEntry, Standing } from './state.ts';

/** The part of a member's record that the manager writes. */
export const mgmContextOf = ({ serial, status, createdAt }: Standing, now: number): Record<string, string> => ({
  'corda.status': status,
  'corda.creationTime': new Date(createdAt).toISOString(),
  'corda.modifiedTime': new Date(now).toISOString(),
  'corda.serial': String(serial),
});

const createdAtOf = ({ mgmContext }: Entry): number => Date.parse(mgmContext['corda.creationTime'] ?? '');

const withEntries = (roster: MgmState['roster'], entries: readonly Entry[], version: number): MgmState['roster'] => {
  const next: Record<string, RosterEntry> = { ...roster };
  for (const one of entries) next[one.x500Name] = { serial: one.serial, status: one.status, createdAt: createdAtOf(one), leaf: leafOf(one), version };
  return next;
};

/** As many changes as one message carries; the others wait for the next version. */
const firstOf = (changed: MgmState['changed'], pageChars: number): readonly Entry[] => {
  const entries: Entry[] = [];
  let chars = 0;
  for (const [, one] of byName(changed)) {
    chars += canonicalJson(one).length;
    if (entries.length > 0 && chars > pageChars) break;
    entries.push(one);
  }
  return entries;
};

/** Begins the next version, where there is something to say and none is being signed. */
export const publish = (state: MgmState, { virtualNode, pageChars, now }: MgmFacts): MgmStepped => {
  const { group, parameters, signing, changed, parametersChanged } = state;
  if (group === null || parameters === null || signing !== null || (Object.keys(changed).length === 0 && !parametersChanged)) return { state, effects: [] };
  const { groupId, shortHash: tenant } = virtualNode.holdingIdentity;
  const entries = firstOf(changed, pageChars);
  const version = (state.signed?.statement.version ?? 0) + 1;
  const roster = withEntries(state.roster, entries, version);
  const statement: Statement = {
    v: 1, groupId, version, count: Object.keys(roster).length, root: rootOfRoster(roster), epoch: parameters.epoch, parameters: parametersDigest(parameters), signedAt: now,
  };
  const id = `list/${groupId}/${version}`;
  const taken = new Set(entries.map(({ x500Name }) => x500Name));
  return {
    state: {
      ...state,
      signing: { id, statement, entries, parameters, parametersChanged },
      changed: Object.fromEntries(Object.entries(changed).filter(([name]) => !taken.has(name))),
      parametersChanged: false,
    },
    effects: [askToSign({ tenant, keyId: group.signer.id, spec: group.signer.spec, id, input: statementInput(statement) })],
  };
};

/**
 * Clusters are told, not members: one copy serves all members of a cluster, which share its endpoints. They take turns, two with each version, so that one
 * that cannot hear, or says that it lives where others do, holds nobody's list up: with the next version its cluster learns that it missed one.
 */
const recipientsOf = (roster: MgmState['roster'], version: number, { member, virtualNode }: MgmFacts): readonly string[] => {
  const active = Object.entries(roster).filter(([name, { status }]) => name !== virtualNode.holdingIdentity.x500Name && status === 'ACTIVE').map(([name]) => name);
  const places = Map.groupBy(active.sort(), (name) => member(name)?.endpoints.map(({ url }) => url).sort().join(' ') ?? name);
  return [...places.values()].flatMap((names) => Array.from({ length: Math.min(names.length, toldPerCluster) }, (_, n) => names[(version * toldPerCluster + n) % names.length]!));
};

type Told = { readonly to: string; readonly id: string; readonly message: PeerMessage };

const tell = ({ virtualNode: { holdingIdentity: own }, now }: MgmFacts, { to, id, message }: Told): OutRecord =>
  say({ from: own, to, receiverKey: own.groupId, id, expiresAt: now + peerMessageTtlMs, message });

/** The signature is there: the version counts, and all are told. */
export const hearListSignature = (state: MgmState, { outcome }: AnswerEvent, facts: MgmFacts): MgmStepped => {
  const { signing, group } = state;
  const value = outcome.type === 'done' ? allToCryptoSign.reply?.safeParse(outcome.value).data : undefined;
  // Without its key a manager manages nothing: the operator sees this, and the next wake asks again.
  if (signing === null || group === null) return { state, effects: [] };
  if (value === undefined) return { state, effects: [], refusal: outcome.type === 'refused' ? `crypto refused to sign the list: ${outcome.message} (${outcome.code})` : 'crypto answered no signature' };
  const { statement, entries, parameters, parametersChanged } = signing;
  const { holdingIdentity: own } = facts.virtualNode;
  const roster = withEntries(state.roster, entries, statement.version);
  const payload: ListPayload = {
    type: 'list', v: 1, statement, signature: value.signature, entries: [...entries], since: statement.version - 1, after: null, next: null,
    parameters: parametersChanged ? parameters : null,
  };
  const manager = { x500Name: own.x500Name, sessionKeys: [...keysIn(group.memberContext, 'session')] };
  const here = encode(memberToMemberGroup, {
    key: own.groupId, id: `${signing.id}/published`, body: { type: 'published', groupId: own.groupId, manager, payload: JSON.stringify(payload) },
  });
  // Whoever this version is about hears of it: one that is suspended of that, and of nothing after it.
  const changing = entries.map(({ x500Name }) => x500Name).filter((name) => name !== own.x500Name);
  const recipients = new Set([...changing, ...recipientsOf(roster, statement.version, facts)]);
  return {
    state: { ...state, signing: null, roster, signed: { statement, signature: value.signature } },
    effects: [here, ...[...recipients].map((to) => tell(facts, { to, id: `list/${statement.version}`, message: payload }))],
  };
};

type Sync = Extract<PeerMessage, { type: 'sync' }>;

/** What has changed since the version that the asker has: one page of it. */
export const answerSync = (state: MgmState, source: string, { version: since, epoch, after }: Sync, messageId: string, facts: MgmFacts): MgmStepped => {
  const { pageChars } = facts;
  const { signed, parameters, signing } = state;
  const asker = state.roster[source];
  if (signed === null || parameters === null || asker === undefined || asker.status !== 'ACTIVE') return { state, effects: [], refusal: `${source} is no active member and asks for the list` };
  const { statement, signature } = signed;
  const wanted = byName(state.roster).filter(([name, entry]) => entry.version > since && (after === null || name > after));
  const entries: Entry[] = [];
  let chars = 0;
  let next: string | null = null;
  for (const [name, { leaf }] of wanted) {
    const member = facts.member(name);
    const one = member === undefined ? undefined : entryOf(member);
    if (one === undefined || leafOf(one) !== leaf) return { state, effects: [], later: `the record of ${name} is not in view yet` };
    chars += canonicalJson(one).length;
    if (entries.length > 0 && chars > pageChars) {
      next = entries.at(-1)!.x500Name;
      break;
    }
    entries.push(one);
  }
  // The statement is of the parameters that were signed with it.
  const current = signing?.parametersChanged === true || state.parametersChanged ? undefined : parameters;
  if (epoch !== statement.epoch && current === undefined) return { state, effects: [], later: 'new group parameters are being signed' };
  const message: ListPayload = { type: 'list', v: 1, statement, signature, entries, since, after, next, parameters: epoch === statement.epoch ? null : current! };
  return { state, effects: [tell(facts, { to: source, id: `sync/${messageId}`, message })] };
};
