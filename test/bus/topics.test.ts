import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { partitionCountDefault } from '../../src/bus/bus.ts';
import { murmur2, partitionOf, topicsOf } from '../../src/bus/topics.ts';
import { wires } from '../../src/messages/messages.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the partition of a key', () => {
  // Kafka's own vectors: UtilsTest.testMurmur2.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %s as Kafka does', (text, hash) => {
    expect(murmur2(bytes(text))).toBe(hash);
  });

  test('is that of its UTF-8 bytes, whatever its length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), fc.integer({ min: 1, max: 100 }), (key, partitions) => {
        expect(partitionOf(key, partitions)).toBe((murmur2(bytes(key)) & 0x7fffffff) % partitions);
      }),
    );
  });

  test('is never negative, also where the hash is', () => {
    expect(partitionOf('21', 7)).toBe((-973932308 & 0x7fffffff) % 7);
  });
});

describe('the topics of the wires', () => {
  test('are one a wire, all with the same number of partitions, so that keys co-locate', () => {
    const topics = topicsOf(wires);
    expect(topics.map(({ topic }) => topic)).toEqual(wires.map(({ topic }) => topic));
    expect(new Set(topics.map(({ partitions }) => partitions))).toEqual(new Set([partitionCountDefault]));
    expect(topics.find(({ topic }) => topic === 'db-to-all.cpi')?.retention).toBe('compacted');
  });
});
