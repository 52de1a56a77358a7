/** A list that is too long for one message: its pages are kept apart from the state, and its records go out one page a step. */
import { beforeAll, describe, expect, test } from 'vitest';
import { toBase64url } from '../../../src/cipher/bytes.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { memberToAllMember } from '../../../src/messages/member-to-all.member.ts';
import { memberToMemberListed } from '../../../src/messages/member-to-member.listed.ts';
import { allToLinkManagerSend } from '../../../src/messages/all-to-link-manager.send.ts';
import type { StoredItem } from '../../../src/shell/worker.ts';
import { resumesMax } from '../../../src/workers/member/config.ts';
import { stepList } from '../../../src/workers/member/list/list.ts';
import { pageDue } from '../../../src/workers/member/list/pages.ts';
import type { ListPage, ListState } from '../../../src/workers/member/list/state.ts';
import { createNetworks, type Networks } from '../../../src/workers/member/network.ts';
import { keyMap } from '../../../src/workers/member/peer/context-map.ts';
import { contextInput, leafOf, rootOfRoster, statementInput, type Entry, type Statement } from '../../../src/workers/member/peer/entry.ts';
import { identityOf, testKey } from '../../simulation/joining-world.ts';

const groupId = '3f6f4ad0-2c3c-4f5e-9a3b-6c1d5a8e7f13';
const mgm = identityOf('O=Mgm, L=London, C=GB', groupId);
const bob = identityOf('O=Member 3, L=Paris, C=FR', groupId);
const now = 1_000_000;

const keyOf = async (owner: string) => {
  const { pair, signer } = await testKey(owner, 'SESSION_INIT');
  return { publicKey: toBase64url(pair.publicKey), spec: 'EdDSA' as const, sign: async (input: Uint8Array) => toBase64url(await signer!.sign('EdDSA', input)) };
};

const entryOf = async (x500Name: string, serial = 1): Promise<Entry> => {
  const key = await keyOf(x500Name);
  const memberContext = { 'corda.name': x500Name, 'corda.registration.id': `r${serial}`, ...keyMap('corda.session.keys.0', key) };
  return { x500Name, status: 'ACTIVE', serial, memberContext, mgmContext: {}, signatures: [{ publicKey: key.publicKey, spec: 'EdDSA', signature: await key.sign(contextInput(memberContext)) }] };
};

const view = { get: () => undefined, entries: () => new Map<string, never>().entries(), refresh: async () => {} };
/** Bob lives here. */
const networks: Networks = { ...createNetworks({ virtualNodes: view, cpis: view, members: view }), virtualNode: (hash) => (hash === bob.shortHash ? ({ holdingIdentity: bob } as never) : undefined) };

let entries: readonly Entry[];
beforeAll(async () => {
  entries = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => entryOf(n === 3 ? bob.x500Name : `O=Member ${n}, L=London, C=GB`)));
});

const payloadOf = async (all: readonly Entry[], shown: readonly Entry[], more: { readonly version?: number; readonly since?: number; readonly after?: string; readonly next?: string }): Promise<string> => {
  const { version = 1, since = 0, after = null, next = null } = more;
  const statement: Statement = {
    v: 1, groupId, version, count: all.length, root: rootOfRoster(Object.fromEntries(all.map((one) => [one.x500Name, { leaf: leafOf(one) }]))), epoch: 1, parameters: toBase64url(new Uint8Array(32)), signedAt: now,
  };
  return JSON.stringify({ type: 'list', v: 1, statement, signature: await (await keyOf(mgm.shortHash)).sign(statementInput(statement)), entries: shown, since, after, next, parameters: null });
};

/** The pages of a list, two members each. */
const pagesOf = (all: readonly Entry[], version = 1): Promise<readonly string[]> =>
  Promise.all([0, 2, 4].map((from) => {
    const last = all[from + 1]!.x500Name;
    return payloadOf(all, all.slice(from, from + 2), { version, ...(from === 0 ? {} : { after: all[from - 1]!.x500Name }), ...(from === 4 ? {} : { next: last }) });
  }));

/** A cluster's list and its items, as the store keeps them. */
const openList = async () => {
  const manager = await keyOf(mgm.shortHash);
  let state: ListState = {
    type: 'list', v: 1, groupId, manager: { x500Name: mgm.x500Name, sessionKeys: [{ publicKey: manager.publicKey, spec: manager.spec }] }, trust: null, version: 0, epoch: 1, roster: {}, pending: {},
    locals: [bob.x500Name], staging: null, taking: null, nextPage: 1, syncAt: now, syncs: 0,
  };
  const items = new Map<number, ListPage>();
  const refused: string[] = [];
  const step = async (event: Parameters<typeof stepList>[0]['events'][number], at = now): Promise<readonly OutRecord[]> => {
    const due = event.type === 'wake' ? pageDue(state) : undefined;
    const asked: StoredItem<ListPage>[] | undefined = due === undefined ? undefined : [...items].filter(([position]) => position >= due).slice(0, 1).map(([position, value]) => ({ position, value }));
    const stepped = await stepList({ before: state, events: [event], items: asked, networks, now: at, onRefused: (reason) => refused.push(reason) });
    state = JSON.parse(JSON.stringify(stepped.state)) as ListState;
    for (const position of stepped.itemsRemoved) expect(items.delete(position)).toBe(true);
    for (const { position, value } of stepped.itemsAdded) {
      expect(items.has(position)).toBe(false);
      items.set(position, value);
    }
    return stepped.effects;
  };
  return {
    items, refused,
    state: () => state,
    hear: (payload: string) => step({ type: 'received', message: { type: 'message', messageId: 'l', groupId, source: mgm.x500Name, destination: bob.x500Name, payload } }),
    wake: (at = now) => step({ type: 'wake', dueAt: at }, at),
  };
};

const namesIn = (records: readonly OutRecord[]): readonly string[] => records.flatMap(({ topic, key }) => (topic === memberToAllMember.topic ? [key.slice(groupId.length + 1)] : []));
const saysListed = (records: readonly OutRecord[]): boolean => records.some(({ topic }) => topic === memberToMemberListed.topic);
const asks = (records: readonly OutRecord[]): boolean => records.some(({ topic }) => topic === allToLinkManagerSend.topic);

describe('a list in pages', () => {
  test('is kept apart from the state, taken over when it is whole, and told a page at a time; those who live here hear at the end', async () => {
    const list = await openList();
    const pages = await pagesOf(entries);
    for (const page of pages.slice(0, 2)) {
      const records = await list.hear(page);
      expect([namesIn(records), asks(records)]).toEqual([[], true]);
    }
    expect(list.items.size).toBe(2);
    expect(JSON.stringify(list.state())).not.toContain('corda.session.keys');
    expect(list.state().version).toBe(0);
    const last = await list.hear(pages[2]!);
    expect(namesIn(last)).toEqual(entries.slice(4).map(({ x500Name }) => x500Name));
    expect(list.state().version).toBe(1);
    const first = await list.wake();
    expect(namesIn(first)).toEqual(entries.slice(0, 2).map(({ x500Name }) => x500Name));
    expect([saysListed(last), saysListed(first)]).toEqual([false, false]);
    const second = await list.wake();
    expect(namesIn(second)).toEqual(entries.slice(2, 4).map(({ x500Name }) => x500Name));
    expect(saysListed(second)).toBe(true);
    expect(list.items.size).toBe(0);
    expect(list.state()).toMatchObject({ staging: null, taking: null });
    expect(Object.keys(list.state().roster)).toHaveLength(6);
  });

  test('says nothing of a member that a newer version has overtaken meanwhile', async () => {
    const list = await openList();
    for (const page of await pagesOf(entries)) await list.hear(page);
    const newer = await entryOf(entries[0]!.x500Name, 2);
    const after = await list.hear(await payloadOf([newer, ...entries.slice(1)], [newer], { version: 2, since: 1 }));
    expect(namesIn(after)).toEqual([newer.x500Name]);
    expect(namesIn(await list.wake())).toEqual([entries[1]!.x500Name]);
  });

  test('goes on behind the pages that are here when one was lost, and begins anew when that leads nowhere', async () => {
    const list = await openList();
    const [first, second, third] = await pagesOf(entries);
    const askedFor = (records: readonly OutRecord[]): unknown => records.flatMap(({ topic, value }) => (topic === allToLinkManagerSend.topic ? [JSON.parse((JSON.parse(value!) as { body: { payload: string } }).body.payload).after] : []));
    await list.hear(first!);
    expect(askedFor(await list.wake(list.state().syncAt))).toEqual([entries[1]!.x500Name]);
    await list.hear(second!);
    await list.hear(third!);
    expect(list.state().version).toBe(1);
    const other = await openList();
    await other.hear(first!);
    const asked: unknown[] = [];
    for (let n = 0; n < resumesMax; n++) asked.push(askedFor(await other.wake(other.state().syncAt)));
    expect(asked.at(-1)).toEqual([null]);
    expect([other.state().staging, other.items.size]).toEqual([null, 0]);
  });

  test('is dropped, with its pages, for a newer one, for an entry that nobody signed, and where it does not lead to its root', async () => {
    const list = await openList();
    await list.hear((await pagesOf(entries))[0]!);
    await list.hear((await pagesOf(entries, 2))[0]!);
    expect([...list.items.keys()]).toEqual([2]);
    const forged = [...entries.slice(0, 2), { ...entries[2]!, signatures: [] }, ...entries.slice(3)];
    const [first, second] = await pagesOf(forged, 3);
    await list.hear(first!);
    await list.hear(second!);
    expect(list.refused).toEqual([expect.stringContaining('not signed by its session keys')]);
    expect(list.items.size).toBe(0);
    const [one, two] = await pagesOf(entries, 4);
    await list.hear(one!);
    await list.hear(two!);
    await list.hear(await payloadOf(entries, entries.slice(4, 5), { version: 4, after: entries[3]!.x500Name }));
    expect(list.items.size).toBe(0);
    expect(list.state()).toMatchObject({ version: 0, roster: {}, staging: null, taking: null });
  });
});
