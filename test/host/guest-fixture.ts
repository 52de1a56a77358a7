/** What guests of the test do: each message is the name of one thing. */
import { execSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { GuestMain } from '../../src/host/guests.ts';

const hoard: unknown[] = [];
const acts: Record<string, (data: unknown) => unknown> = {
  echo: (data) => data,
  environment: () => Object.keys(process.env),
  spin: () => {
    for (;;);
  },
  sleep: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000),
  sleepLong: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  grow: () => {
    for (;;) hoard.push(hoard.length);
  },
  growOutside: () => {
    for (;;) hoard.push(new Uint8Array(2 ** 24).fill(1));
  },
  abort: () => Array.prototype.sort.call({ length: 2 ** 53 - 1 }),
  uninterruptible: () => Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1),
  exit: () => process.exit(3),
  fail: () => {
    throw new Error('nobody caught this');
  },
  write: () => writeFileSync('/tmp/written-by-a-guest', 'x'),
  execute: () => String(execSync('echo out')),
  reject: () => void Promise.reject(new Error('nobody heard this')),
};

export const main: GuestMain = ({ data, post, receive, macrotask, mark, rest }) => {
  let batch = 0;
  receive((name) => {
    mark({ batch: ++batch, turn: 7 });
    macrotask(() => {
      let answer: unknown;
      try {
        answer = acts[name as string]!(data);
      } catch (error) {
        if (name === 'fail') throw error;
        answer = `refused: ${(error as { code?: string }).code}`;
      }
      rest();
      post({ name, answer: answer ?? null });
    });
  });
};
