import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { makeDirectory, openOn, readAll, removeDirectory, segmentFiles } from './disk.ts';

const child = fileURLToPath(new URL('./kill-child.ts', import.meta.url));
const rounds = 6;

let directory: string;
beforeEach(async () => {
  directory = await makeDirectory();
});
afterEach(() => removeDirectory(directory));

const numberOf = ({ value }: InRecord): number => Number.parseInt(value);

/** Runs the child until it said so much, kills it, and returns what it said until its end. */
const killAfter = async (lines: number, firstNumber: number, topics: 'all' | 'view' = 'all'): Promise<string[]> => {
  const broker = spawn(process.execPath, [child, directory, String(firstNumber), topics], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said: string[] = [];
  for await (const line of createInterface({ input: broker.stdout })) {
    said.push(line);
    if (said.length === lines) broker.kill('SIGKILL');
  }
  return said;
};

test('B1, B2: a broker killed with -9 while it publishes keeps every acknowledged record, in order, and opens at once', async () => {
  const acknowledged = new Map<string, number>();
  let committed = 0;
  for (let round = 0; round < rounds; round++) {
    const firstNumber = round * 100_000;
    for (const line of await killAfter(100 + round * 157, firstNumber)) {
      const [word = '', number = ''] = line.split(' ');
      if (word === 'committed') committed = Number(number);
      else acknowledged.set(word, Number(number));
    }
    const broker = await openOn(directory);
    const records = await readAll(broker);
    for (const [key, last] of acknowledged) {
      for (const topic of ['log', 'other']) {
        const numbers = records.filter((record) => record.topic === topic && record.key === key && numberOf(record) >= firstNumber).map(numberOf);
        // What was written and not acknowledged may stand behind, and nothing else: no gap, no repeat.
        expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => firstNumber + i));
        expect(firstNumber + numbers.length - 1).toBeGreaterThanOrEqual(last);
      }
      const latest = records.findLast((record) => record.topic === 'view' && record.key === key);
      expect(numberOf(latest!)).toBeGreaterThanOrEqual(last);
    }
    const [position] = broker.committed('g', [{ topic: 'other', partition: 0 }]);
    // The last commits may be lost: they only bring deliveries again. Never may one stand that was not made.
    const end = records.filter(({ topic }) => topic === 'other').length;
    expect(position!.offset).toBeLessThanOrEqual(end);
    expect(position!.offset).toBeGreaterThan(round === 0 ? -2 : 0);
    await broker.close();
  }
  expect(committed).toBeGreaterThan(0);
});

test('B5: a broker killed while it cleans its log keeps the latest record of every key', async () => {
  const acknowledged = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    for (const line of await killAfter(200 + round * 131, round * 100_000, 'view')) {
      const [key = '', number = ''] = line.split(' ');
      acknowledged.set(key, Number(number));
    }
    const broker = await openOn(directory);
    const records = await readAll(broker, ['view']);
    expect(records.map(({ key }) => key).sort()).toEqual([...acknowledged.keys()].sort());
    for (const record of records) expect(numberOf(record)).toBeGreaterThanOrEqual(acknowledged.get(record.key)!);
    await broker.close();
  }
  // It did clean: the log would have a file for every twenty records else.
  expect((await segmentFiles(directory)).length).toBeLessThan(12);
});

test('a directory whose broker was killed is free at once, and one whose broker lives is not', async () => {
  const broker = spawn(process.execPath, [child, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: broker.stdout })[Symbol.asyncIterator]();
  await lines.next();
  await expect(openOn(directory)).rejects.toMatchObject({ code: 'BUS_REFUSED', message: expect.stringContaining(`process ${broker.pid}`) });
  const ended = new Promise((resolve) => broker.once('exit', resolve));
  broker.kill('SIGKILL');
  await ended;
  await (await openOn(directory)).close();
});
