/**
 * The sample of tables, from its sources to rows in PostgreSQL: built and signed, uploaded, installed with its migrations, its flows run in
 * the sandbox, and their queries carried by the wire to the database's room.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CpiMetadata } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToFlowCpk } from '../../src/messages/db-to-flow.cpk.ts';
import { flowToDbQuery } from '../../src/messages/flow-to-db.query.ts';
import { restToDbCpi } from '../../src/messages/rest-to-db.cpi.ts';
import { restToDbVirtualNode } from '../../src/messages/rest-to-db.virtual-node.ts';
import { silentLog } from '../../src/observability/log.ts';
import { buildPackage } from '../../src/packaging/build.ts';
import type { Database } from '../../src/postgres/database.ts';
import { onCpi } from '../../src/workers/db/on-cpi.ts';
import { onQuery } from '../../src/workers/db/on-query.ts';
import { onVirtualNode } from '../../src/workers/db/on-virtual-node.ts';
import { outcomeOf, queryRequest } from '../../src/workers/flow/engine/external.ts';
import { alice, bob, runInSandbox } from '../flow-sdk/run-in-sandbox.ts';
import type { Queried, SandboxOutcome, SandboxRun } from '../flow-sdk/sandbox-thread.ts';
import { issue, now, signerOf } from '../packaging/keys.ts';
import { startTestServer, transactOn, type TestServer } from '../workers/db/database.ts';
import { chunksOf, groupIdA, staticPolicy } from '../workers/db/packages.ts';
import { answerBatch, read, request } from '../workers/db/requests.ts';

const project = fileURLToPath(new URL('./stock', import.meta.url));
const developer = await issue({ name: 'CN=Developer, O=Acme, L=London, C=GB' });

let server: TestServer;
let database: Database;
let cpi: CpiMetadata;
const nodes = new Map<string, string>();

const transact = { transact: <Result>(work: Parameters<typeof transactOn<Result>>[1]) => transactOn(database, work), now };

const upload = async (file: Uint8Array, force: boolean): Promise<CpiMetadata> => {
  const uploadId = crypto.randomUUID();
  const answered = await answerBatch(onCpi(silentLog), transact, ...chunksOf(uploadId, file, { force }).map((chunk) => request(restToDbCpi, chunk)));
  const effects = answered.flatMap(({ effects: owed }) => owed ?? []);
  expect(effects.some(({ topic }) => topic === dbToFlowCpk.topic)).toBe(true);
  return read(dbToAllCpi, effects.find(({ topic }) => topic === dbToAllCpi.topic)!).body;
};

beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  await transactOn(database, (tx) => tx.certificates.put({ usage: 'code-signer', alias: 'developer', pem: developer.pem }, now));
  const built = await buildPackage({ project, signer: signerOf(developer), now, groupPolicy: staticPolicy(groupIdA) });
  cpi = await upload(built.cpi!, false);
  for (const x500Name of [alice, bob]) {
    const body = { type: 'create' as const, cpiFileChecksum: cpi.fullChecksum, x500Name };
    const [answered] = await answerBatch(onVirtualNode(silentLog), transact, request(restToDbVirtualNode, body, { id: x500Name }));
    expect(answered!.outcome).toMatchObject({ value: { status: { status: 'SUCCEEDED' } } });
    nodes.set(x500Name, (answered!.outcome as { value: { requestId: string } }).value.requestId);
  }
});
afterAll(() => server.stop());

/** As the engine asks and as it hears the answer. */
const answerQuery = async (member: string, query: object): Promise<Queried> => {
  const identity = { x500Name: member, groupId: groupIdA, shortHash: nodes.get(member)! };
  const made = queryRequest({ flowId: 'flow', op: 0, identity: identity as never }, cpi.cpks[0]!.hash, { query });
  if (made.type !== 'request') throw new Error(made.message);
  const [answered] = await answerBatch(onQuery, transact, read(flowToDbQuery, made.message.record));
  const outcome = outcomeOf('db.run', answered!.outcome);
  if (outcome.type === 'answer') return JSON.parse(outcome.json) as Queried;
  return outcome as { code: string; message: string };
};

const resultsOf = (outcomes: readonly SandboxOutcome[]): unknown[] => outcomes.map((outcome) => ('result' in outcome ? (JSON.parse(outcome.result?.startsWith('{') === true ? outcome.result : JSON.stringify(outcome.result)) as unknown) : outcome));
const flow = (member: string, name: string, input: unknown = {}): SandboxRun => ({ member, flow: `com.cordage.samples.${name}`, input });

describe('the sample of tables', () => {
  test('books what comes and goes in tables of its own, each member for itself', async () => {
    const { outcomes } = await runInSandbox(
      project,
      {
        runs: [
          flow(alice, 'ReceiveStock', { item: 'tea', pieces: 12, priceCents: 400 }),
          flow(alice, 'ReceiveStock', { item: 'tea', pieces: 3, priceCents: 450 }),
          flow(alice, 'ReceiveStock', { item: "rice'; drop table stock; --", pieces: 1, priceCents: 1 }),
          flow(alice, 'TakeStock', { item: 'tea', pieces: 5 }),
          flow(alice, 'TakeStock', { item: 'tea', pieces: 11 }),
          flow(alice, 'ForgeMovement', { item: 'gold' }),
          flow(alice, 'ReportStock'),
          flow(bob, 'ReportStock'),
        ],
      },
      answerQuery,
    );
    expect(resultsOf(outcomes)).toEqual([
      { item: 'tea', pieces: 12 },
      { item: 'tea', pieces: 15 },
      { item: "rice'; drop table stock; --", pieces: 1 },
      { taken: 5 },
      { taken: 0, reason: 'there are not 11 of tea' },
      'refused',
      { rows: [{ item: "rice'; drop table stock; --", pieces: 1, worthCents: 1, movements: 1 }, { item: 'tea', pieces: 10, worthCents: 4_500, movements: 3 }], more: false },
      { rows: [], more: false },
    ]);
    const rows = await database.sql.unsafe(`select item, pieces from vnode_vault_${nodes.get(alice)!.toLowerCase()}.stock where item = 'tea'`);
    expect(rows.map((row) => ({ ...row }))).toEqual([{ item: 'tea', pieces: 10 }]);
  });

  test('installed again changes nothing, and its code reached the flow workers whole', async () => {
    const built = await buildPackage({ project, signer: signerOf(developer), now, groupPolicy: staticPolicy(groupIdA) });
    expect(await upload(built.cpi!, true)).toMatchObject({ cpks: [{ hash: cpi.cpks[0]!.hash }] });
    const [code] = await transactOn(database, (tx) => tx.cpis.findCode([cpi.cpks[0]!.hash]));
    expect(new TextDecoder().decode(code!.code)).toMatch(/^(var|"use strict")/);
    const rows = await database.sql.unsafe(`select name from vnode_vault_${nodes.get(bob)!.toLowerCase()}.cordage_migration order by position`);
    expect(rows.map(({ name }) => name as string)).toEqual(['0001-stock', '0002-prices']);
  });
});
