/**
 * Processes of two releases that follow each other run side by side (docs/postgresql.md, Upgrades): every wire's reader takes what its own
 * version wrote and what the one before wrote, and refuses any other by name, so that nothing is misread.
 */
import { describe, expect, test } from 'vitest';
import { decode } from '../../src/messages/grammar/envelope.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';

const record = (topic: string, v: number): InRecord => ({ topic, partition: 0, offset: 0, timestamp: 0, key: 'key', value: JSON.stringify({ v, id: 'id', body: null }) });

describe('versions', () => {
  test.each(wires.map((wire) => [wire.topic, wire] as const))('%s is read in its own version and the one before, and in no other', (topic, wire) => {
    const refusedForVersion = (v: number): boolean => {
      const decoded = decode(wire, record(topic, v));
      return decoded.type === 'malformed' && decoded.reason.startsWith(`version ${v} of ${topic}`);
    };
    const { version } = wire;
    // Versions begin with 1.
    for (const v of [version - 1, version]) if (v > 0) expect(refusedForVersion(v), `version ${v}`).toBe(false);
    for (const v of [version - 2, version + 1, version + 2]) if (v > 0) expect(refusedForVersion(v), `version ${v}`).toBe(true);
  });
});
