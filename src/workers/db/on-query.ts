/**
 * flow-to-db.query: an application's query of its own tables. The tree is checked here against the tables of the code unit that asks, before
 * anything is compiled.
 */
import type { Refusal } from '../../messages/grammar/envelope.ts';
import { flowToDbQuery } from '../../messages/flow-to-db.query.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { checkQuery } from '../../packaging/schema.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { findSchemas } from './cpk-schemas.ts';
import type { CpkSchema, TableCall, TableReply, VaultTx } from './db-tx.ts';

type Body = BodyOf<typeof flowToDbQuery>;
type Checked = { readonly type: 'call'; readonly call: TableCall } | Refusal;
type Known = { readonly nodes: ReadonlySet<string>; readonly schemas: ReadonlyMap<string, CpkSchema> };

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const check = ({ shortHash, cpkHash, query }: Body, { nodes, schemas }: Known): Checked => {
  if (!nodes.has(shortHash)) return refused('DB_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${shortHash} on this cluster`);
  const checked = checkQuery(query, schemas.get(cpkHash)?.schema.catalog ?? new Map());
  if (checked.type === 'invalid') return refused('DB_QUERY_INVALID', checked.reason);
  return { type: 'call', call: { shortHash, statement: checked.statement } };
};

const unique = <Value>(values: readonly Value[]): Value[] => [...new Set(values)];

export const onQuery: Answering<Body, TableReply, VaultTx> = {
  wire: flowToDbQuery,
  answer: async (requests, tx) => {
    const nodes = await tx.virtualNodes.known(unique(requests.map(({ body }) => body.shortHash)));
    const schemas = await findSchemas(tx, unique(requests.map(({ body }) => body.cpkHash)));
    const checked = requests.map(({ body }) => check(body, { nodes, schemas }));
    const results = await tx.tables.run(checked.flatMap((one) => (one.type === 'call' ? [one.call] : [])));
    let next = 0;
    return checked.map((one): Answered<TableReply> => {
      if (one.type === 'refused') return { outcome: one };
      const result = results[next]!;
      next++;
      return { outcome: result.type === 'done' ? { type: 'done', value: result.reply } : refused(result.code, result.reason) };
    });
  },
};
