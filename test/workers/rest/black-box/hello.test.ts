import { expect } from 'vitest';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();

covers(cluster, 'POST /hello', 'happy', 'greets the addressee, and says who calls', async ({ call }) => {
  const { json } = await call('POST', '/hello?addressee=you');
  expect(json).toBe('Hello, you! (from admin)');
});

covers(cluster, 'POST /hello', 'refused', 'wants somebody to greet', async ({ call }) => {
  const { status, json } = await call('POST', '/hello');
  expect([status, json.details.parameter]).toEqual([400, 'addressee']);
});
