import { describe, expect, test } from 'vitest';
import * as fc from 'fast-check';
import type { GroupEntry, Snapshot } from '../../src/bus/embedded-broker/log/entry.ts';
import { frameBytesOf, frameHeadBytes, FrameWriter, readFrame, visitEntries } from '../../src/bus/embedded-broker/log/frame.ts';
import type { LogRecord } from '../../src/bus/engine.ts';

const text = fc.string({ unit: 'binary', maxLength: 60 });
const count = fc.nat(2 ** 16 - 1);
const record: fc.Arbitrary<LogRecord & { topicNumber: number; copy: boolean }> = fc.record(
  {
    topic: fc.constant('t'),
    topicNumber: count,
    copy: fc.boolean(),
    partition: count,
    offset: fc.maxSafeNat(),
    timestamp: fc.maxSafeNat(),
    key: text,
    value: text,
    headers: fc.array(fc.record({ key: text, value: text }), { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: ['topic', 'topicNumber', 'copy', 'partition', 'offset', 'timestamp', 'key', 'value'] },
);
const group: fc.Arbitrary<Omit<GroupEntry, 'type'>> = fc.record({ group: text, topics: fc.array(count), offsets: fc.array(fc.tuple(count, count, fc.maxSafeNat())) });
const head = fc.record({ segment: fc.nat(), sequence: fc.maxSafeNat(), appendedAt: fc.maxSafeNat() });
const snapshot: Snapshot = { v: 1, segments: [1, 2], topics: [{ topic: 't', retention: 'log', partitions: [[0, 5]] }], groups: [] };

const visitAll = (bytes: Buffer, bodyStart: number, end: number): unknown[] => {
  const seen: unknown[] = [];
  visitEntries(bytes, bodyStart, end, {
    record: (view) => seen.push({ ...view.record('t'), topicNumber: view.topic, copy: view.copy }),
    group: (entry) => seen.push(entry),
    snapshot: (entry) => seen.push(entry),
  });
  return seen;
};

describe('a frame', () => {
  test('comes back as it was written, wherever it stands', () => {
    const writer = new FrameWriter();
    fc.assert(
      fc.property(head, fc.array(record), fc.array(group), fc.nat(100), (frameHead, records, groups, before) => {
        writer.begin();
        for (const { topicNumber, copy, ...one } of records) writer.addRecord(topicNumber, one, copy);
        for (const entry of groups) writer.add({ type: 'group', ...entry });
        writer.add({ type: 'snapshot', snapshot });
        const bytes = Buffer.concat([Buffer.alloc(before, 7), writer.finish(frameHead)]);
        const frame = readFrame(bytes, before);
        expect(frame).toMatchObject({ type: 'frame', ...frameHead, entries: records.length + groups.length + 1, end: bytes.length });
        if (frame.type !== 'frame') return;
        expect(visitAll(bytes, frame.bodyStart, frame.end)).toEqual([...records, ...groups, snapshot]);
        expect(frameBytesOf(bytes.subarray(before))).toBe(bytes.length - before);
      }),
    );
  });

  test('that was changed in any bit or cut anywhere is known to be bad', () => {
    const writer = new FrameWriter();
    writer.begin();
    writer.addRecord(3, { topic: 't', partition: 1, offset: 9, timestamp: 5, key: 'key', value: 'value' }, false);
    const whole = Buffer.from(writer.finish({ segment: 1, sequence: 1, appendedAt: 1 }));
    for (let length = 0; length < whole.length; length++) expect(readFrame(whole.subarray(0, length), 0).type).toBe('bad');
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const changed = Buffer.from(whole);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(readFrame(changed, 0).type).toBe('bad');
    }
  });

  test('is not seen in any other bytes, nor do they throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(50), (bytes, at) => readFrame(Buffer.from(bytes), at).type === 'bad'));
  });

  test('with a good checksum and any entries in it ends in entries or in BUS_CORRUPT', () => {
    const type = fc.integer({ min: 0, max: 5 });
    fc.assert(
      fc.property(fc.array(fc.tuple(type, fc.uint8Array({ maxLength: 80 }), fc.integer({ min: -3, max: 3 }))), (entries) => {
        const body = entries.map(([kind, bytes, lie]) => {
          const entryHead = Buffer.alloc(5);
          entryHead.writeUInt32LE(Math.max(0, bytes.length + lie), 0);
          entryHead.writeUInt8(kind, 4);
          return Buffer.concat([entryHead, bytes]);
        });
        const bytes = Buffer.concat([Buffer.alloc(frameHeadBytes), ...body]);
        try {
          visitAll(bytes, frameHeadBytes, bytes.length);
        } catch (error) {
          expect(error).toMatchObject({ code: 'BUS_CORRUPT' });
        }
      }),
    );
  });

  test('lets no text of a record pass for a frame: its magic is not UTF-8', () => {
    const writer = new FrameWriter();
    writer.begin();
    writer.addRecord(0, { topic: 't', partition: 0, offset: 0, timestamp: 0, key: '', value: '' }, false);
    const inner = Buffer.from(writer.finish({ segment: 1, sequence: 2, appendedAt: 1 }));
    writer.begin();
    writer.addRecord(0, { topic: 't', partition: 0, offset: 0, timestamp: 0, key: '', value: inner.toString('utf8') + inner.toString('latin1') }, false);
    const outer = Buffer.from(writer.finish({ segment: 1, sequence: 1, appendedAt: 1 }));
    const frames = Array.from({ length: outer.length }, (_, at) => readFrame(outer, at)).filter(({ type }) => type === 'frame');
    expect(frames).toHaveLength(1);
  });
});
