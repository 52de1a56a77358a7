/** Guests: a module in a process of its own ends alone, for a reason that is told, whatever it does. */
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { startGuest } from '../../src/host/guests.ts';
import type { Guest, GuestExit, GuestLimits } from '../../src/host/guests.ts';

const limits: GuestLimits = { heapMbMax: 64, residentMbMax: 300, workCpuMsMax: 400, workWallMsMax: 60_000, startMsMax: 60_000 };

type Started = { readonly guest: Guest; readonly ask: (name: string) => Promise<unknown>; readonly exit: Promise<GuestExit> };
const started: Guest[] = [];

const start = (changes: Partial<GuestLimits> = {}, module = new URL('./guest-fixture.ts', import.meta.url)): Started => {
  let heard: (message: unknown) => void = () => {};
  let exited: (exit: GuestExit) => void = () => {};
  const exit = new Promise<GuestExit>((resolve) => (exited = resolve));
  const guest = startGuest({ module, data: { given: 1 }, limits: { ...limits, ...changes }, onMessage: (message) => heard((message as { answer: unknown }).answer), onExit: exited });
  started.push(guest);
  const ask = (name: string): Promise<unknown> => {
    const answer = new Promise<unknown>((resolve) => (heard = resolve));
    guest.post(name);
    return answer;
  };
  return { guest, ask, exit };
};

afterEach(() => Promise.all(started.splice(0).map((guest) => guest.terminate())));

describe('a guest', () => {
  test('is given its data and answers; it sees nothing of our environment, and may touch no files and processes', async () => {
    const { ask } = start();
    expect(await ask('echo')).toEqual({ given: 1 });
    expect(await ask('environment')).toEqual([]);
    expect(await ask('write')).toBe('refused: ERR_ACCESS_DENIED');
    expect(await ask('execute')).toBe('refused: ERR_ACCESS_DENIED');
    expect(await ask('reject')).toBeNull();
    expect(await ask('echo')).toEqual({ given: 1 });
  });

  test.each(['spin', 'uninterruptible'])('that works too long is ended, and the work is named (%s)', async (name) => {
    const { ask, exit } = start();
    void ask(name);
    expect(await exit).toMatchObject({ type: 'time', message: expect.stringContaining('processor time') as unknown, work: { batch: 1, turn: 7 } });
  });

  test('may wait longer than it may work, since only what it uses counts', async () => {
    const { ask } = start({ workCpuMsMax: 300 });
    expect(await ask('sleep')).toBe('timed-out');
  });

  test('may not wait for ever', async () => {
    const { ask, exit } = start({ workWallMsMax: 300 });
    void ask('sleepLong');
    expect(await exit).toMatchObject({ type: 'time', message: expect.stringContaining('on the wall') as unknown, work: { batch: 1, turn: 7 } });
  });

  test.each(['grow', 'growOutside', 'abort'])('that outgrows its memory ends alone (%s)', async (name) => {
    const { ask, exit } = start({ workCpuMsMax: 30_000 });
    void ask(name);
    expect(await exit).toMatchObject({ type: 'memory' });
  });

  test.each([
    ['exit', 'code 3'],
    ['fail', 'nobody caught this'],
  ])('that ends by itself says how (%s)', async (name, said) => {
    const { ask, exit } = start();
    void ask(name);
    expect(await exit).toMatchObject({ type: 'crash', message: expect.stringContaining(said) as unknown });
  });

  test('whose module does not exist was never ready, and says why', async () => {
    const { exit } = start({}, new URL('./no-such-module.ts', import.meta.url));
    expect(await exit).toMatchObject({ type: 'unready', message: expect.stringContaining('no-such-module') as unknown });
  });

  test('that is not ready in time is ended, and no work is blamed', async () => {
    const { exit } = start({ startMsMax: 1 });
    expect(await exit).toMatchObject({ type: 'unready' });
  });

  test('that is ended by us says so, and hears nothing more', async () => {
    const { guest, ask, exit } = start();
    await ask('echo');
    await guest.terminate();
    expect(await exit).toEqual({ type: 'ended' });
    guest.post('echo');
    await guest.terminate();
  });

  // By /proc, as everything that looks for processes here.
  test.runIf(process.platform === 'linux')('ends when the process that started it is killed', { timeout: 60_000 }, async () => {
    const host = fork(fileURLToPath(new URL('./guest-host-child.ts', import.meta.url)), [], { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const pid = await new Promise<number>((resolve) => host.once('message', (message) => resolve(message as number)));
    expect(isAlive(pid)).toBe(true);
    host.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });
});

/** A dead process whose parent is gone may stay in the table for a while. */
const isAlive = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};
