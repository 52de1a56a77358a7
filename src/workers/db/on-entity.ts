/** flow-to-db.entity: entities of a virtual node's vault, a whole batch of requests in a few statements. */
import type { Carried, Refusal } from '../../messages/grammar/envelope.ts';
import { flowToDbEntity } from '../../messages/flow-to-db.entity.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { DatabaseError } from '../../postgres/database-error.ts';
import type { Answered, Answering, Foreseen } from '../../shell/worker.ts';
import { queryMsMax, statementCharsMax } from './config.ts';
import type { EntityCall, EntityReply, EntityResult, EntityRow, EntityWrite, VaultTx } from './db-tx.ts';
import { checkEntityOperation } from './entity-check.ts';
import { fitsReply } from './entity-reply.ts';

type Body = BodyOf<typeof flowToDbEntity>;
type Checked = { readonly type: 'call'; readonly call: EntityCall } | Refusal;

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const tooLarge = (entity: string): Refusal =>
  refused('DB_ENTITY_REPLY_TOO_LARGE', `the ${entity} entities of this request are longer than one answer may be; ask for fewer at a time`);

const check = (flowId: string, { shortHash, operation }: Body, known: ReadonlySet<string>): Checked => {
  if (!known.has(shortHash)) return refused('DB_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${shortHash} on this cluster`);
  const checked = checkEntityOperation(operation);
  if (checked.type === 'invalid') return refused('DB_ENTITY_INVALID', `${operation.type} of ${operation.entity}: ${checked.reason}`);
  // What is written must be able to be found one day.
  if ('items' in checked.operation && !fitsReply(checked.operation.items)) return tooLarge(operation.entity);
  return { type: 'call', call: { flowId, shortHash, operation: checked.operation } };
};

type Operation = Body['operation'];

const isWrite = (operation: Operation): operation is Extract<Operation, { type: 'persist' | 'merge' }> => operation.type === 'persist' || operation.type === 'merge';

const outcomeOf = (call: EntityCall, result: EntityResult): Answered<EntityReply> => {
  const { entity } = call.operation;
  switch (result.type) {
    case 'done':
      // Who asked knows what it wrote; the stored answer need not hold it once more.
      return { outcome: { type: 'done', value: isWrite(call.operation) ? { items: [] } : result.reply } };
    case 'exists':
      return { outcome: refused('DB_ENTITY_EXISTS', `${entity} ${JSON.stringify(result.id)} is there already; nothing of this request was written`) };
    case 'too-large':
      return { outcome: tooLarge(entity) };
    case 'timeout':
      return { outcome: refused('DB_QUERY_TIMEOUT', `looking through ${entity} took longer than ${queryMsMax} ms; declare an index of the field, or ask for equal fields`) };
  }
};

/**
 * Virtual nodes that were there once, so that each is looked for once a process. One that was deleted since, perhaps by another replica,
 * shows when its vault is entered: then all are forgotten, and the batch is tried again and finds it gone.
 */
type Known = { readonly nodes: ReadonlySet<string>; /** Whether one of them was not looked for now. */ readonly isRemembered: boolean };

const createKnown = () => {
  const known = new Set<string>();
  return {
    find: async (tx: Pick<VaultTx, 'virtualNodes'>, shortHashes: ReadonlySet<string>): Promise<Known> => {
      const asked = [...shortHashes].filter((shortHash) => !known.has(shortHash));
      if (asked.length > 0) for (const shortHash of await tx.virtualNodes.known(asked)) known.add(shortHash);
      return { nodes: known, isRemembered: asked.length < shortHashes.size };
    },
    remembered: known as ReadonlySet<string>,
    forget: () => known.clear(),
  };
};

/** SQLSTATE of a role, a schema and a table that are not there. */
const goneStates = new Set(['22023', '42704', '3F000', '42P01']);

const isGone = (error: unknown): boolean => error instanceof Error && 'code' in error && goneStates.has(String(error.code));

/** Then it would matter what is written first. Of ids that are persisted twice, the statement itself says so. */
const standsTwice = (persisted: readonly EntityRow[], merged: readonly EntityRow[]): boolean => {
  if (merged.length === 0) return false;
  const ids = new Set<string>();
  for (const rows of [persisted, merged]) for (const { entity, id } of rows) ids.add(`${entity}/${id}`);
  return ids.size < persisted.length + merged.length;
};

/** Persists and merges at one vault that is known: all of it is one statement, unless a new id is taken, or order matters. */
const foresee = (requests: readonly Carried<Body>[], known: ReadonlySet<string>, now: number): Foreseen<EntityReply> | undefined => {
  const { shortHash } = requests[0]!.body;
  const persisted: EntityRow[] = [];
  const merged: EntityRow[] = [];
  let chars = 0;
  for (const { key, body } of requests) {
    if (body.shortHash !== shortHash || !isWrite(body.operation)) return undefined;
    const checked = check(key, body, known);
    if (checked.type !== 'call' || !isWrite(checked.call.operation)) return undefined;
    const { type, entity, items } = checked.call.operation;
    const rows = type === 'persist' ? persisted : merged;
    for (const { id, json } of items) {
      rows.push({ entity, id, json });
      chars += json.length;
    }
  }
  if (chars > statementCharsMax || standsTwice(persisted, merged)) return undefined;
  const write: EntityWrite = { shortHash, persisted, merged, now };
  return { write, answered: requests.map(() => ({ outcome: { type: 'done', value: { items: [] } } })) };
};

export const createOnEntity = (known = createKnown()): Answering<Body, EntityReply, VaultTx> => ({
  wire: flowToDbEntity,
  isIndependent: true,
  foresee: (requests, now) => foresee(requests, known.remembered, now),
  answer: async (requests, tx, now) => {
    const { nodes, isRemembered } = await known.find(tx, new Set(requests.map(({ body }) => body.shortHash)));
    const checked = requests.map(({ key, body }) => check(key, body, nodes));
    const calls = checked.flatMap((one) => (one.type === 'call' ? [one.call] : []));
    const results = await tx.entities.apply(calls, now).catch((error: unknown) => {
      known.forget();
      // The transaction is lost, and its work is done anew.
      throw isRemembered && isGone(error) ? new DatabaseError('DATABASE_CONFLICT', 'a virtual node was deleted meanwhile', { cause: error }) : error;
    });
    let next = 0;
    return checked.map((one): Answered<EntityReply> => {
      if (one.type === 'refused') return { outcome: one };
      const answered = outcomeOf(one.call, results[next]!);
      next++;
      return answered;
    });
  },
});
