import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deriveId, flowIdOf, incarnationOf, originOf, pairTagOf, responderFlowIdOf, sessionIdOf } from '../../src/identity/derive.ts';

const parts = fc.array(fc.string({ maxLength: 8 }), { maxLength: 4 });

test('an id is a UUID of version 8, the same each time', () => {
  fc.assert(
    fc.property(fc.string(), parts, (label, some) => {
      const id = deriveId(label, ...some);
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(deriveId(label, ...some)).toBe(id);
    }),
  );
});

test('lists of parts that differ give different ids, wherever their borders are', () => {
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      expect(deriveId('x', ...a) === deriveId('x', ...b)).toBe(JSON.stringify(a) === JSON.stringify(b));
    }),
  );
  expect(deriveId('x', 'ab', 'c')).not.toBe(deriveId('x', 'a', 'bc'));
  expect(deriveId('x', '1:a')).not.toBe(deriveId('x', '1', 'a'));
});

test('ids of different kinds never meet', () => {
  const ids = [flowIdOf('a', 'b'), sessionIdOf('a', 0), responderFlowIdOf('g', 'a', 'b', 's'), responderFlowIdOf('g', 'b', 'a', 's'), deriveId('a', 'b')];
  expect(new Set(ids).size).toBe(ids.length);
});

test('an incarnation is the same for each delivery of what begins a flow, another for another, and short', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (startId, other) => {
      expect(incarnationOf(startId)).toMatch(/^[A-Za-z0-9_-]{11}$/);
      expect(incarnationOf(other) === incarnationOf(startId)).toBe(other === startId);
    }),
  );
});

test('a pair has one tag from both sides, and another in another group', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (group, one, other) => {
      const tag = pairTagOf(group, one, other);
      expect(tag).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(pairTagOf(group, other, one)).toBe(tag);
      expect(pairTagOf(`${group}.`, one, other)).not.toBe(tag);
    }),
  );
});

test('derived ids are stable: other clusters and stored journals hold them', () => {
  expect(deriveId('flow', 'AB', 'r1')).toBe(flowIdOf('AB', 'r1'));
  expect(sessionIdOf('93ad11b5-5dca-8e30-b30d-3b8d5de11dce', 0)).toBe('db12adbb-01d7-8968-a3ec-571b45c031bc');
  expect(sessionIdOf(originOf('93ad11b5-5dca-8e30-b30d-3b8d5de11dce', 'zr'), 0)).toBe('3b00aa6a-be98-8f04-9429-d583c49bdb88');
  expect(incarnationOf('0b2e3f5a-0000-4000-8000-000000000001')).toBe('Alw_7Dpl4TQ');
  expect(flowIdOf('0123456789AB', 'request-1')).toBe('93ad11b5-5dca-8e30-b30d-3b8d5de11dce');
  expect(pairTagOf('group', 'O=Alice, L=London, C=GB', 'O=Bob, L=Paris, C=FR')).toBe('rSirJJIIeejGFsgowdB4Jp5ZmHNQxm5ASrBJbaoo28Y');
});
