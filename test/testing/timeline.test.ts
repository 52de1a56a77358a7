/** A journal as a timeline: numbers, times, abbreviations, and who is waited for. */
import { describe, expect, test } from 'vitest';
import { renderTimeline, timelineOf, type FlowJournal } from '../../src/testing/timeline.ts';
import type { Stored } from '../../src/workers/flow/engine/journal.ts';

const bob = 'CN=Bob, O=Bob, L=Paris, C=FR';
const flow: FlowJournal['flow'] = {
  status: { holdingIdentityShortHash: 'AAAAAAAAAAAA', clientRequestId: 'r1', flowId: 'f1', flowStatus: 'RUNNING', flowResult: null, flowError: null, timestamp: 9_000 },
  flowId: 'f1',
  kind: 'rest',
  flowClassName: 'com.example.Ping',
  x500Name: 'CN=Alice, O=A, L=London, C=GB',
  groupId: 'g',
  startedBy: 'admin',
  cpkHash: 'C'.repeat(64),
  createdAt: 1_000,
  updatedAt: 9_000,
  errorAt: [],
  operationCount: 3,
  itemCount: 4,
  sessions: [{ id: 's1', role: 'initiator', counterparty: bob, protocol: 'ping', version: 1, state: 'open', end: null, unread: 2 }],
  pending: [{ op: 2, type: 'receive', sessionId: 's1' }],
};
const asked = (kind: string, sketch = '{}') => ({ kind, sketch, digest: 'd' });
// Written as the engine writes items; their kinds are those of operations.
const items = [
  { type: 'start', v: 1, at: 1_000, flags: [], start: { type: 'input', json: '{"to":"Bob"}', context: {} }, asked: [asked('session.open'), asked('db.find', '{"entity":"Note"}'), asked('db.persist')] },
  { type: 'turn', at: 1_250, op: 0, outcome: { type: 'answer', json: `{"items":"${'x'.repeat(500)}"}` }, asked: [] },
  { type: 'message', sessionId: 's1', seq: 1, answer: '{"json":"1"}' },
  { type: 'turn', at: 2_000, op: 1, outcome: { type: 'refused', code: 'DB_ENTITY_EXISTS', message: 'it is there' }, asked: [asked('session.receive')] },
].map((value, position) => ({ position, value })) as unknown as Stored[];

describe('a timeline', () => {
  test('numbers operations, and says how long each took', () => {
    const entries = timelineOf({ flow, items });
    expect(entries.map(({ type, op, kind, tookMs }) => [type, op, kind, tookMs])).toEqual([
      ['started', undefined, undefined, undefined],
      ['opened', undefined, 'session.open', undefined],
      ['asked', 0, 'db.find', undefined],
      ['asked', 1, 'db.persist', undefined],
      ['answered', 0, 'db.find', 250],
      ['arrived', undefined, undefined, undefined],
      ['refused', 1, 'db.persist', 1_000],
      ['asked', 2, 'session.receive', undefined],
      ['waits', 2, undefined, undefined],
    ]);
    expect(entries.at(-1)!.text).toBe(`a message from ${bob}`);
  });

  test('is short for people and whole for programs', () => {
    const entries = timelineOf({ flow, items });
    const text = renderTimeline(flow, entries);
    expect(text).toContain('com.example.Ping  RUNNING');
    expect(text).toContain(`session as initiator with ${bob}, ping version 1, open: 2 unread`);
    expect(text).toMatch(/◀ #0 db\.find \{"items":"x+… \(512 characters\) {2}\(250 ms\)/);
    expect(text).toContain('✗ #1 db.persist DB_ENTITY_EXISTS: it is there  (1000 ms)');
    expect(text).toContain(`waits for #2 a message from ${bob}`);
    expect(entries[4]!.text).toHaveLength(512);
  });

  test('ends with the error and its place in the sources', () => {
    const status = { ...flow.status, flowStatus: 'FAILED' as const, flowError: { type: 'FLOW_FAILED', message: 'no luck' } };
    const failed = { ...flow, status, errorAt: ['flows.ts:12:3 in run'] };
    const text = renderTimeline(failed, timelineOf({ flow: failed, items }));
    expect(text).toMatch(/■ FAILED FLOW_FAILED: no luck\n\s+at flows\.ts:12:3 in run$/);
  });
});
