import { expect, test } from 'vitest';
import { CommitQueue } from '../../src/bus/embedded-broker/log/commit-queue.ts';
import type { Submission } from '../../src/bus/embedded-broker/log/commit-queue.ts';

type Write = { readonly names: string[]; readonly finish: () => void; readonly fail: () => void };

/** A queue whose writes end when the test says so. */
const startQueue = (options: { queueCharsMax?: number; ridersDue?: () => boolean } = {}) => {
  const writes: Write[] = [];
  const outcomes: string[] = [];
  let began = (): void => {};
  const queue = new CommitQueue({
    frameCharsMax: 100,
    queueCharsMax: options.queueCharsMax ?? 1_000,
    ridersDue: options.ridersDue ?? (() => false),
    written: () => outcomes.push('shown'),
    write: (batch) =>
      new Promise((resolve, reject) => {
        writes.push({ names: batch.map(nameOf), finish: () => resolve(writes.length), fail: () => reject(new Error('disk')) });
        began();
      }),
  });
  const submit = (name: string, more: Partial<Submission> = {}): void =>
    queue.submit({ records: [], chars: 10, done: () => outcomes.push(`${name} done`), failed: ({ code }) => outcomes.push(`${name} ${code}`), ...more, ...named(name) });
  const untilWrites = async (count: number): Promise<void> => {
    while (writes.length < count) await new Promise<void>((resolve) => (began = resolve));
  };
  return { queue, writes, outcomes, submit, untilWrites };
};

const names = new WeakMap<object, string>();
const nameOf = (submission: Submission): string => names.get(submission.owners) ?? '';
/** Recognised again by its own array of owners. */
const named = (name: string): Pick<Submission, 'owners'> => {
  const owners: [] = [];
  names.set(owners, name);
  return { owners };
};

test('what comes in one turn is one write, and what comes while it is under way is the next', async () => {
  const { submit, writes, outcomes, untilWrites } = startQueue();
  submit('a');
  submit('b');
  await untilWrites(1);
  submit('c');
  submit('d');
  expect(outcomes).toEqual([]);
  writes[0]!.finish();
  await untilWrites(2);
  expect(outcomes).toEqual(['a done', 'b done', 'shown']);
  expect(writes.map((write) => write.names)).toEqual([['a', 'b'], ['c', 'd']]);
});

test('a write takes no more text than its bound, unless one submission has more', async () => {
  const { submit, writes, untilWrites } = startQueue();
  for (const [name, chars] of [['a', 60], ['b', 40], ['c', 1], ['d', 500]] as const) submit(name, { chars });
  await untilWrites(1);
  writes[0]!.finish();
  await untilWrites(2);
  writes[1]!.finish();
  await untilWrites(3);
  expect(writes.map((write) => write.names)).toEqual([['a', 'b'], ['c'], ['d']]);
});

test('a submission with entries of its own has a write of its own: all before it is then shown', async () => {
  const { submit, writes, untilWrites } = startQueue();
  submit('a');
  submit('alone', { entries: () => [] });
  submit('b');
  await untilWrites(1);
  writes[0]!.finish();
  await untilWrites(2);
  writes[1]!.finish();
  await untilWrites(3);
  expect(writes.map((write) => write.names)).toEqual([['a'], ['alone'], ['b']]);
});

test('a failed write fails all that stands behind it, whose offsets counted on it; later ones are tried', async () => {
  const { submit, writes, outcomes, untilWrites } = startQueue();
  submit('a');
  await untilWrites(1);
  submit('b');
  writes[0]!.fail();
  await new Promise((resolve) => setImmediate(resolve));
  expect(outcomes).toEqual(['a BUS_UNREACHABLE', 'b BUS_UNREACHABLE']);
  submit('c');
  await untilWrites(2);
  writes[1]!.finish();
  await new Promise((resolve) => setImmediate(resolve));
  expect(outcomes.slice(2)).toEqual(['c done', 'shown']);
});

test('refuses before anything is given an offset: when it is full, and when it is closed', async () => {
  const { queue, submit, writes, untilWrites, outcomes } = startQueue({ queueCharsMax: 50 });
  submit('a', { chars: 60 });
  expect(() => queue.assertOpen()).toThrow('publish again later');
  await untilWrites(1);
  expect(() => queue.assertOpen()).not.toThrow();
  const closing = queue.close();
  expect(() => queue.assertOpen()).toThrow('closed');
  writes[0]!.finish();
  await closing;
  expect(outcomes).toEqual(['a done', 'shown']);
});

test('writes riders alone when they are due, and not before', async () => {
  let due = false;
  const { queue, writes, untilWrites } = startQueue({ ridersDue: () => due });
  queue.kick();
  await new Promise((resolve) => setImmediate(resolve));
  expect(writes).toEqual([]);
  due = true;
  queue.kick();
  await untilWrites(1);
  due = false;
  writes[0]!.finish();
  expect(writes.map((write) => write.names)).toEqual([[]]);
});
