/** Moves a test network: one loop after another, in one order, until nothing is left to do. Time moves only when it is told to. */
import type { Clock } from '../host/clock.ts';
import { isOperational } from '../shell/operational.ts';
import type { Delivery } from './delivery.ts';
import { MemberCrash, type MemberRoom } from './member.ts';
import type { StepLoop } from './step-loops.ts';

/** A step that fails so often, one time after another, will not succeed. */
const failuresMax = 100;
/** Moments of virtual time that one wait may pass through: a flow that polls by sleeping comes to an end. */
const momentsMax = 100_000;

export type NetworkClock = Clock & { time: number };

export type Moment = { readonly at: number; readonly work: () => Promise<void> };

export type Driver = {
  /** Works until nothing is left to do now, or until `done` says so. */
  settle(done?: () => Promise<boolean>): Promise<void>;
  /** Lets time pass, through every moment at which something is due, until `end` or until `done` says so. */
  pass(end: number, done?: () => Promise<boolean>): Promise<void>;
  schedule(at: number, work: () => Promise<void>): void;
};

export type DriverOptions = {
  readonly clock: NetworkClock;
  readonly members: () => readonly MemberRoom[];
  /** The loops that carry messages between members. */
  readonly carriers: () => readonly StepLoop[];
  readonly release: Delivery['release'];
};

const never = async (): Promise<boolean> => false;

export const createDriver = ({ clock, members, carriers, release }: DriverOptions): Driver => {
  let moments: Moment[] = [];
  const failures = new Map<string, number>();
  const online = (): MemberRoom[] => members().filter((member) => member.online);
  const loops = (): StepLoop[] => [...online().flatMap((member) => member.loops()), ...carriers()];

  const step = async (member: MemberRoom | undefined, loop: StepLoop): Promise<void> => {
    try {
      await loop.step();
      failures.delete(loop.name);
    } catch (error) {
      if (error instanceof MemberCrash) return member?.boot();
      const count = (failures.get(loop.name) ?? 0) + 1;
      failures.set(loop.name, count);
      if (!isOperational(error) || count >= failuresMax) throw error;
    }
  };
  /** One round over all loops; false when none had anything to do. */
  const round = async (): Promise<boolean> => {
    let moved = false;
    const due = moments.filter(({ at }) => at <= clock.time);
    if (due.length > 0) moments = moments.filter(({ at }) => at > clock.time);
    for (const { work } of due) {
      moved = true;
      await work();
    }
    for (const member of online()) {
      for (const loop of member.loops()) {
        if (!loop.ready(clock.time)) continue;
        moved = true;
        await step(member, loop);
      }
    }
    for (const loop of carriers()) {
      if (!loop.ready(clock.time)) continue;
      moved = true;
      await step(undefined, loop);
    }
    return moved;
  };
  const settle = async (done: () => Promise<boolean> = never): Promise<void> => {
    for (;;) {
      while (await round()) if (await done()) return;
      if (await release()) continue;
      // A room that tries again after a back-off of milliseconds does so without the test's time being told.
      const again = Math.min(...loops().map((loop) => loop.readyAt() ?? Infinity));
      if (again === Infinity || (await done())) return;
      clock.time = Math.max(clock.time, again);
    }
  };
  /** Publishes wakes for all that is due: whether there were any, and when the next one will be. */
  const wakeAll = async (): Promise<{ readonly woke: boolean; readonly next: number }> => {
    const woken = await Promise.all(online().map((member) => member.wake(clock.time)));
    const times = [...moments.map(({ at }) => at), ...woken.map(({ next }) => next ?? Infinity)];
    return { woke: woken.some(({ count }) => count > 0), next: Math.min(Infinity, ...times) };
  };
  return {
    settle,
    pass: async (end, done = never) => {
      for (let count = 0; ; ) {
        await settle(done);
        if (await done()) return;
        const { woke, next } = await wakeAll();
        if (woke) continue;
        if (next === Infinity || next > end) break;
        if (count++ >= momentsMax) throw new Error(`${momentsMax} moments passed and more are due: does a flow wait for what never comes?`);
        clock.time = Math.max(clock.time, next);
      }
      if (end !== Infinity) clock.time = Math.max(clock.time, end);
    },
    schedule: (at, work) => void moments.push({ at, work }),
  };
};
