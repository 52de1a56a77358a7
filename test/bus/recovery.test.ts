import { copyFile, cp, open, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readFrame } from '../../src/bus/embedded-broker/log/frame.ts';
import { createLog } from '../../src/observability/log.ts';
import { diskTopics, makeDirectory, openOn, readAll, removeDirectory, segmentFiles, valuesOf } from './disk.ts';

let directory: string;
beforeEach(async () => {
  directory = await makeDirectory();
});
afterEach(() => removeDirectory(directory));

/** One publish after the other, so that each is a frame. */
const publishEach = async (values: readonly string[], limits = {}): Promise<void> => {
  const broker = await openOn(directory, { limits });
  for (const value of values) await broker.append([{ topic: 'other', key: 'k', value }]);
  await broker.close();
};

/** Where the frames of a file begin and end. */
const framesOf = async (path: string): Promise<{ from: number; to: number }[]> => {
  const bytes = await readFile(path);
  const frames: { from: number; to: number }[] = [];
  for (let at = 0; ; ) {
    const frame = readFrame(bytes, at);
    if (frame.type === 'bad') return frames;
    frames.push({ from: at, to: frame.end });
    at = frame.end;
  }
};

const changeByte = async (path: string, at: number): Promise<void> => {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0]! ^= 0x5a;
  await file.write(byte, 0, 1, at);
  await file.close();
};

describe('a log whose last write was torn', () => {
  const values = ['one', 'two', 'three'];

  test.each(['cut off', 'overwritten by zeros', 'garbled'] as const)('%s at any byte keeps all before it, and goes on', async (kind) => {
    await publishEach(values);
    const [file] = await segmentFiles(directory);
    const path = join(directory, file!);
    const whole = await readFile(path);
    const last = (await framesOf(path)).at(-1)!;
    for (let at = last.from; at < last.to; at++) {
      await writeFile(path, torn(whole, at, kind));
      const broker = await openOn(directory);
      expect(valuesOf(await readAll(broker), 'other')).toEqual(['one', 'two']);
      const [again] = await broker.append([{ topic: 'other', key: 'k', value: 'again' }]);
      expect(again?.offset).toBe(2);
      await broker.close();
      if (at % 8 !== 0) continue;
      const reopened = await openOn(directory);
      expect(valuesOf(await readAll(reopened), 'other')).toEqual(['one', 'two', 'again']);
      await reopened.close();
    }
  });

  const torn = (whole: Buffer, at: number, kind: 'cut off' | 'overwritten by zeros' | 'garbled'): Buffer => {
    if (kind === 'cut off') return whole.subarray(0, at);
    const bytes = Buffer.from(whole);
    if (kind === 'overwritten by zeros') return bytes.fill(0, at);
    bytes[at]! ^= 0xff;
    return bytes;
  };

  test('says once in the log that it removed a frame', async () => {
    await publishEach([...values, 'x'.repeat(5_000)]);
    const [file] = await segmentFiles(directory);
    const path = join(directory, file!);
    await truncate(path, (await framesOf(path)).at(-1)!.to - 1);
    const lines: string[] = [];
    const log = createLog({ level: 'warn', write: (line) => lines.push(line) });
    const limits = { zeroAheadBytes: 0 };
    await (await openOn(directory, { log, limits })).close();
    expect(lines.join()).toContain('bus.torn_frame_removed');
    lines.length = 0;
    await (await openOn(directory, { log, limits })).close();
    expect(lines).toEqual([]);
  });
});

describe('a damaged log', () => {
  test('is refused at any byte of a frame that others follow: those were acknowledged', async () => {
    await publishEach(['one', 'two', 'three', 'four']);
    const [file] = await segmentFiles(directory);
    const path = join(directory, file!);
    const whole = await readFile(path);
    const frames = await framesOf(path);
    const { from, to } = frames.at(-2)!;
    for (let at = from; at < to; at++) {
      await writeFile(path, whole);
      await changeByte(path, at);
      await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_CORRUPT', message: expect.stringMatching(/is damaged.*Restore the directory/s) });
    }
    await writeFile(path, whole);
    const broker = await openOn(directory);
    expect(valuesOf(await readAll(broker), 'other')).toEqual(['one', 'two', 'three', 'four']);
    await broker.close();
  });

  test('is refused when an older segment is cut, damaged in its last frame, or missing', async () => {
    await publishEach(Array.from({ length: 30 }, (_, i) => `${i} ${'x'.repeat(300)}`), { segmentBytesMax: 4_000 });
    const [, second] = await segmentFiles(directory);
    const path = join(directory, second!);
    const copy = `${path}.copy`;
    await copyFile(path, copy);
    await truncate(path, (await stat(path)).size - 1);
    await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_CORRUPT' });
    await copyFile(copy, path);
    await changeByte(path, (await framesOf(path)).at(-1)!.from + 50);
    await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_CORRUPT' });
    await rm(path);
    await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_CORRUPT', message: expect.stringContaining('is missing') });
    await rename(copy, path);
    const broker = await openOn(directory);
    expect(valuesOf(await readAll(broker), 'other')).toHaveLength(30);
    await broker.close();
  });

  test('gives its lock back, so that a mended directory opens', async () => {
    await publishEach(['one', 'two', 'three']);
    const [file] = await segmentFiles(directory);
    const path = join(directory, file!);
    const at = (await framesOf(path)).at(-2)!.from + 45;
    await changeByte(path, at);
    await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_CORRUPT' });
    await changeByte(path, at);
    await (await openOn(directory)).close();
  });

  test('tells a reader whose record went bad after the log was opened', async () => {
    await publishEach(['one', 'two', 'three']);
    const [file] = await segmentFiles(directory);
    const path = join(directory, file!);
    const broker = await openOn(directory);
    await changeByte(path, (await framesOf(path))[2]!.from + 60);
    await expect(readAll(broker, ['other'])).rejects.toMatchObject({ code: 'BUS_CORRUPT' });
    await broker.close();
  });
});

describe('segments', () => {
  const limits = { segmentBytesMax: 2_000 };
  const values = Array.from({ length: 40 }, (_, i) => `${i} ${'x'.repeat(200)}`);

  test('follow one another, and are read as one log', async () => {
    await publishEach(values, limits);
    expect((await segmentFiles(directory)).length).toBeGreaterThan(4);
    const broker = await openOn(directory, { limits });
    expect(valuesOf(await readAll(broker), 'other')).toEqual(values);
    await broker.close();
  });

  test('one that was begun and not used when the process ended is made anew', async () => {
    await publishEach(values, limits);
    const files = await segmentFiles(directory);
    const next = Number(files.at(-1)!.slice(0, 12)) + 1;
    const path = join(directory, `${String(next).padStart(12, '0')}.log`);
    const half = (await readFile(join(directory, files[0]!))).subarray(0, 100);
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(5_000), half]) {
      await writeFile(path, bytes);
      const broker = await openOn(directory, { limits });
      expect(valuesOf(await readAll(broker), 'other')).toEqual(values);
      await broker.close();
      expect(await segmentFiles(directory)).toEqual(files);
    }
  });

  test('that cannot be begun fail the publish, and the next one succeeds when the fault is gone', async () => {
    const broker = await openOn(directory, { limits });
    for (const value of values.slice(0, 8)) await broker.append([{ topic: 'other', key: 'k', value }]);
    const files = await segmentFiles(directory);
    const next = join(directory, `${String(Number(files.at(-1)!.slice(0, 12)) + 1).padStart(12, '0')}.log`);
    await writeFile(next, 'in the way');
    const outcomes: string[] = [];
    for (const value of values.slice(8, 20)) outcomes.push(await broker.append([{ topic: 'other', key: 'k', value }]).then(() => 'kept', (error) => error.code));
    expect(new Set(outcomes)).toEqual(new Set(['kept', 'BUS_UNREACHABLE']));
    await rm(next, { force: true });
    const kept = values.slice(8, 20).filter((_, i) => outcomes[i] === 'kept');
    await broker.append([{ topic: 'other', key: 'k', value: 'after' }]);
    const expected = [...values.slice(0, 8), ...kept, 'after'];
    const records = await readAll(broker);
    expect(valuesOf(records, 'other')).toEqual(expected);
    expect(records.map(({ offset }) => offset)).toEqual(expected.map((_, i) => i));
    await broker.close();
    const reopened = await openOn(directory, { limits });
    expect(valuesOf(await readAll(reopened), 'other')).toEqual(expected);
    await reopened.close();
  });
});

describe('the directory', () => {
  test('belongs to one broker at a time', async () => {
    const broker = await openOn(directory);
    await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_REFUSED', message: expect.stringContaining(`in use by process ${process.pid}`) });
    await broker.close();
    await (await openOn(directory)).close();
  });

  test('can be copied while no broker runs on it', async () => {
    await publishEach(['one', 'two']);
    const copy = await makeDirectory();
    await cp(directory, copy, { recursive: true });
    const broker = await openOn(copy);
    expect(valuesOf(await readAll(broker), 'other')).toEqual(['one', 'two']);
    await broker.close();
    await removeDirectory(copy);
  });
});

describe('topics', () => {
  test('may be added at any start, and keep what they hold', async () => {
    await publishEach(['one']);
    const topics = [{ topic: 'new', partitions: 3, retention: 'log' } as const, ...diskTopics];
    const broker = await openOn(directory, { topics });
    await broker.append([{ topic: 'new', key: 'k', value: 'fresh', partition: 2 }]);
    await broker.close();
    const reopened = await openOn(directory, { topics });
    expect((await readAll(reopened, ['new', 'other'])).map(({ value }) => value).sort()).toEqual(['fresh', 'one']);
    await reopened.close();
  });

  test('that no wire names any more are kept', async () => {
    await publishEach(['one']);
    const lines: string[] = [];
    const broker = await openOn(directory, { topics: diskTopics.filter(({ topic }) => topic !== 'other'), log: createLog({ level: 'warn', write: (line) => lines.push(line) }) });
    expect(lines.join()).toContain('bus.topics_not_configured');
    expect(valuesOf(await readAll(broker), 'other')).toEqual(['one']);
    await broker.close();
  });

  test('do not change their partitions or their retention, which would break the order of keys or lose records', async () => {
    await publishEach(['one']);
    const changed = (change: object) => diskTopics.map((topic) => (topic.topic === 'log' ? { ...topic, ...change } : topic));
    await expect(openOn(directory, { topics: changed({ partitions: 3 }) })).rejects.toMatchObject({ code: 'BUS_REFUSED', message: expect.stringContaining('2 partitions, not 3') });
    await expect(openOn(directory, { topics: changed({ retention: 'compacted' }) })).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    await (await openOn(directory)).close();
  });
});

test('text that UTF-8 cannot write is mended before it is acknowledged, so that memory and disk agree', async () => {
  const broker = await openOn(directory);
  const [written] = await broker.append([{ topic: 'other', key: 'k\ud800', value: 'a\udc00b' }]);
  expect([written?.key, written?.value]).toEqual(['k\ufffd', 'a\ufffdb']);
  await broker.close();
  const reopened = await openOn(directory);
  expect(await readAll(reopened)).toEqual([written]);
  await reopened.close();
});
