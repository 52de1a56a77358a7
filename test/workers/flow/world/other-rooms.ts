/** What the rooms around the flow room do, as simply as their wires promise: entities in a map, signatures by the real cipher. */
import { fromBase64url, toBase64url } from '../../../../src/cipher/bytes.ts';
import { keyIdOf, sign } from '../../../../src/cipher/signature.ts';
import type { KeyPair } from '../../../../src/cipher/signature.ts';
import { allToCryptoSign } from '../../../../src/messages/all-to-crypto.sign.ts';
import { allToCryptoKey } from '../../../../src/messages/all-to-crypto.key.ts';
import { allToLinkManagerSend } from '../../../../src/messages/all-to-link-manager.send.ts';
import { flowToDbEntity } from '../../../../src/messages/flow-to-db.entity.ts';
import type { EntityOperation } from '../../../../src/messages/flow-to-db.entity.ts';
import { flowToDbQuery } from '../../../../src/messages/flow-to-db.query.ts';
import { flowToRestStatus } from '../../../../src/messages/flow-to-rest.status.ts';
import { answer, answerTo, decode, encode } from '../../../../src/messages/grammar/envelope.ts';
import type { Carried, Delivery, Outcome } from '../../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../../src/messages/grammar/record.ts';
import type { FlowStatus } from '../../../../src/messages/grammar/shapes.ts';
import type { BodyOf, Wire } from '../../../../src/messages/grammar/wire.ts';
import { linkManagerToFlowReceive } from '../../../../src/messages/link-manager-to-flow.receive.ts';
import type { DirectAnswers } from '../../../../src/shell/direct.ts';
import type { MemoryJoint } from '../../../../src/shell/memory-store.ts';
import { nameOf } from './identities.ts';
import type { Room } from './world.ts';

/** By short hash: `entity/id` to JSON text. */
export type Vaults = Map<string, Map<string, string>>;

export type Around = {
  readonly room: Room;
  readonly rooms: ReadonlyMap<string, Room>;
  readonly deliver: (room: Room, record: OutRecord) => void;
  readonly statuses: FlowStatus[];
  readonly answers: { requestId: string; outcome: Outcome }[];
  readonly vaults: Vaults;
  readonly keys: ReadonlyMap<string, KeyPair>;
  readonly done: Answered;
};

/** What was answered, by request id. */
export type Answered = Map<string, { readonly request: string; readonly outcome: Outcome }>;

const read = <Body>(wire: Wire<Body, any>, record: OutRecord): Delivery<Body> => {
  const decoded = decode(wire, { ...record, partition: 0, offset: 0, timestamp: 0 });
  if (decoded.type !== 'message') throw new Error(`a room said what its wire ${wire.topic} does not allow: ${JSON.stringify(decoded)}`);
  return decoded.delivery;
};

export const carry = async (around: Around, record: OutRecord): Promise<void> => {
  const { room, rooms, deliver, statuses, answers, done } = around;
  switch (record.topic) {
    case flowToRestStatus.topic:
      return void statuses.push(read(flowToRestStatus, record).body);
    case 'all-to-rest.answer':
      return void answers.push(answer.parse((JSON.parse(record.value) as { body: unknown }).body) as { requestId: string; outcome: Outcome });
    case allToLinkManagerSend.topic: {
      const { body } = read(allToLinkManagerSend, record);
      const target = [...rooms.values()].find(({ name }) => nameOf(name) === body.destination);
      const { messageId, source, destination, payload } = body;
      if (target === undefined) {
        const lost = { type: 'undelivered' as const, messageId, groupId: body.groupId, source, destination, reason: 'no route' };
        return deliver(room, encode(linkManagerToFlowReceive, { key: body.senderKey, id: `${messageId}/undelivered`, body: lost }));
      }
      const arrived = { type: 'message' as const, messageId, groupId: body.groupId, source, destination, payload };
      return deliver(target, encode(linkManagerToFlowReceive, { key: body.receiverKey, id: messageId, body: arrived }));
    }
    case flowToDbEntity.topic: {
      const request = read(flowToDbEntity, record);
      return deliver(room, answerTo(request, answerEntity(around.vaults, done, request))!);
    }
    case allToCryptoSign.topic: {
      const request = read(allToCryptoSign, record);
      return deliver(room, answerTo(request, await signOutcome(around.keys.get(request.body.tenant)!, request.body))!);
    }
    case flowToDbQuery.topic: {
      const request = read(flowToDbQuery, record);
      return deliver(room, answerTo(request, { type: 'done', value: { columns: [], rows: [], affected: 0, more: false } })!);
    }
    case allToCryptoKey.topic: {
      const request = read(allToCryptoKey, record);
      const { tenant } = request.body;
      return deliver(room, answerTo(request, { type: 'done', value: { keys: [publicKeyOf(tenant, around.keys.get(tenant)!)] } })!);
    }
    default:
      throw new Error(`nobody hears ${record.topic}`);
  }
};

/** The db room, asked on the bus or directly: it answers once, and a repeat must say the same. */
const answerEntity = (vaults: Vaults, done: Answered, { id, body, record }: Carried<BodyOf<typeof flowToDbEntity>>): Outcome => {
  const before = done.get(id);
  if (before !== undefined && before.request !== record.value) {
    return { type: 'refused', code: 'DB_REQUEST_CHANGED', message: `it was ${before.request} and is now ${record.value}`, fault: 'fatal' };
  }
  if (before !== undefined) return before.outcome;
  const outcome = entityOutcome(vaults.get(body.shortHash)!, body.operation);
  done.set(id, { request: record.value, outcome });
  return outcome;
};

export const entitiesDirectly = (vaults: Vaults, done: Answered, asked: OutRecord[], declines: () => boolean): DirectAnswers => ({
  ask: async (requests) =>
    requests.map(({ record }) => {
      if (declines()) return undefined;
      asked.push(record);
      // What goes this way is what the wire says, though it crosses no bus.
      return answerEntity(vaults, done, read(flowToDbEntity, record));
    }),
  askAtOnce: async (requests) => {
    const outcomes = declines() ? undefined : allOrNone(vaults, done, requests, asked);
    // Too late: all of it is done, and nobody is told.
    return declines() ? undefined : outcomes;
  },
  joint: async (requests) =>
    declines()
      ? undefined
      : {
          joint: (async (save) => {
            const before = done.size;
            const saved = !declines() && allOrNone(vaults, done, requests, asked, save) !== undefined;
            // Who saves with it never asks again: no answers are kept.
            if (saved) for (const { id } of requests) done.delete(id);
            if (done.size !== before) throw new Error('answers were kept of what is joint');
            return saved;
          }) satisfies MemoryJoint,
        },
});

/** Answers them if each is done, and what is to be done with them too; else nothing happens. */
const allOrNone = (vaults: Vaults, done: Answered, requests: readonly Carried<unknown>[], asked: OutRecord[], save = (): boolean => true): Outcome[] | undefined => {
  if (requests.some(({ id }) => done.has(id))) return undefined;
  const before = new Map([...vaults].map(([shortHash, vault]) => [shortHash, new Map(vault)]));
  const outcomes = requests.map(({ record }) => answerEntity(vaults, done, read(flowToDbEntity, record)));
  if (outcomes.every(({ type }) => type === 'done') && save()) {
    asked.push(...requests.map(({ record }) => record));
    return outcomes;
  }
  for (const { id } of requests) done.delete(id);
  for (const [shortHash, vault] of before) replaceAll(vaults.get(shortHash)!, vault);
  return undefined;
};

const replaceAll = (vault: Map<string, string>, by: ReadonlyMap<string, string>): void => {
  vault.clear();
  for (const [key, json] of by) vault.set(key, json);
};

/** In order of id, by equal fields. */
const matching = (vault: Map<string, string>, { entity, where }: Extract<EntityOperation, { type: 'query' | 'count' }>) => {
  const prefix = `${entity}/`;
  return [...vault]
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, json]) => ({ id: key.slice(prefix.length), json }))
    .filter(({ json }) => Object.entries(where).every(([field, value]) => (JSON.parse(json) as Record<string, unknown>)[field] === value))
    .sort((one, other) => (one.id < other.id ? -1 : 1));
};

const entityOutcome = (vault: Map<string, string>, operation: EntityOperation): Outcome => {
  const keyOf = (id: string): string => `${operation.entity}/${id}`;
  const itemsOf = (ids: readonly string[]) => ids.flatMap((id) => (vault.has(keyOf(id)) ? [{ id, json: vault.get(keyOf(id))! }] : []));
  switch (operation.type) {
    case 'persist': {
      const taken = operation.items.find(({ id }) => vault.has(keyOf(id)));
      if (taken !== undefined) return { type: 'refused', code: 'DB_ENTITY_EXISTS', message: `${taken.id} is there already` };
      for (const { id, json } of operation.items) vault.set(keyOf(id), json);
      return { type: 'done', value: { items: operation.items } };
    }
    case 'merge':
      for (const { id, json } of operation.items) vault.set(keyOf(id), json);
      return { type: 'done', value: { items: operation.items } };
    case 'remove': {
      const items = itemsOf(operation.ids);
      for (const { id } of items) vault.delete(keyOf(id));
      return { type: 'done', value: { items } };
    }
    case 'find':
      return { type: 'done', value: { items: itemsOf(operation.ids) } };
    case 'count':
      return { type: 'done', value: { items: [], count: matching(vault, operation).length } };
    case 'query': {
      const found = matching(vault, operation).filter(({ id }) => operation.after === undefined || id > operation.after);
      const items = found.slice(0, operation.countMax);
      return { type: 'done', value: { items, ...(found.length > items.length ? { after: items.at(-1)!.id } : {}) } };
    }
  }
};

const publicKeyOf = (tenant: string, { publicKey }: KeyPair) => ({
  id: keyIdOf(publicKey),
  tenant,
  alias: 'session',
  category: 'SESSION_INIT',
  scheme: 'CORDA.EDDSA.ED25519',
  publicKey: toBase64url(publicKey),
  createdAt: 0,
});

const signOutcome = async (key: KeyPair, { keyId, data }: { keyId: string; data: string }): Promise<Outcome> => {
  if (keyIdOf(key.publicKey) !== keyId) return { type: 'refused', code: 'CRYPTO_KEY_NOT_FOUND', message: `no key ${keyId}` };
  const signature = await sign({ scheme: 'CORDA.EDDSA.ED25519', spec: 'EdDSA', privateKey: key.privateKey, data: fromBase64url(data) });
  return { type: 'done', value: { signature: toBase64url(signature), spec: 'EdDSA', publicKey: toBase64url(key.publicKey) } };
};
