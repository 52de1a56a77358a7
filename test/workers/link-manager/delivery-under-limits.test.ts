import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createWorld, deliveredTo, noFaults } from './two-clusters.ts';

const hourMs = 3_600_000;
const share = (max: number): fc.Arbitrary<number> => fc.double({ min: 0, max, noNaN: true });
const faultsArbitrary = fc.record({ drop: share(0.6), double: share(0.4), delayMs: fc.integer({ min: 0, max: 5_000 }), lostStep: share(0.3), crash: share(0.3) });
/** Far tighter than any that is used, so that every bound is met in a short life. */
const limitsArbitrary = fc
  .record({
    sessionRenewMs: fc.constantFrom(3_000, 60_000, 1e9),
    sessionMsMax: fc.constantFrom(5_000, 100_000, 1e9),
    sessionGraceMs: fc.constantFrom(100, 10_000),
    sessionRenewPackets: fc.constantFrom(5, 1_000),
    windowMessages: fc.constantFrom(1, 3, 20),
    cachedMessagesMax: fc.constantFrom(2, 8, 40),
    replayWindow: fc.constantFrom(1, 8, 256),
    ackDelayMs: fc.constantFrom(0, 20),
  })
  .map((limits) => ({ ...limits, cachedMessagesMax: Math.max(limits.cachedMessagesMax, 2 * limits.windowMessages) }));

test('within any bounds and faults each message is delivered once in order or its sender told, the patient ones are delivered, and then all is quiet', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), faultsArbitrary, limitsArbitrary, fc.integer({ min: 1, max: 80 }), fc.integer({ min: 0, max: 2_000 }), async (seed, faults, limits, count, gapMs) => {
      const world = createWorld({ seed, faults, limits });
      const isPatient = (i: number): boolean => ((seed >>> (i % 20)) & 3) !== 0;
      for (let i = 0; i < count; i++) {
        world.send('alice', `a${i}`, { ttlMs: isPatient(i) ? 1e9 : 4_000 });
        if (i % 3 === 0) world.send('bob', `b${i}`);
        await world.run(gapMs);
      }
      await world.run(hourMs);
      world.faults = noFaults;
      await world.run(hourMs);
      const delivered = deliveredTo(world.bob).map((id) => Number(id.slice(1)));
      expect(delivered).toEqual([...new Set(delivered)].sort((one, other) => one - other));
      const told = world.alice.received.filter(({ type }) => type === 'undelivered').map(({ messageId }) => messageId);
      expect(new Set(told).size).toBe(told.length);
      for (let i = 0; i < count; i++) {
        if (isPatient(i)) expect([delivered.includes(i), told.includes(`a${i}`)], `a${i}`).toEqual([true, false]);
        else expect(delivered.includes(i) || told.includes(`a${i}`), `a${i}`).toBe(true);
      }
      expect(deliveredTo(world.alice)).toEqual(Array.from({ length: Math.ceil(count / 3) }, (_, i) => `b${i * 3}`));
      expect([world.alice.items.size, world.bob.items.size, world.alice.dueAt, world.bob.dueAt]).toEqual([0, 0, undefined, undefined]);
    }),
    { numRuns: 60, interruptAfterTimeLimit: 20_000 },
  );
}, 60_000);
