import { afterAll, beforeAll } from 'vitest';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { startTestServer, type TestServer } from './database.ts';
import { keysContract } from './keys-contract.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

keysContract('memory', async () => {
  const { makeTx, rollback } = createMemoryKeys();
  return createMemoryAnswerStore(makeTx, rollback);
});
keysContract('PostgreSQL', () => server.database());
