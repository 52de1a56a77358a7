/**
 * Secrets kept ready for a while: bounded in count and in time since they were put, and wiped when they go. Who uses one holds a
 * lease: a secret that must go is wiped when its last lease ends, so that nobody signs with zeros.
 */
import type { Clock } from '../../host/clock.ts';

export type Wipeable = { wipe(): void };

export type Lease<Value> = { readonly value: Value; end(): void };

export type LeaseCache<Value extends Wipeable> = {
  /** `undefined` where it is not kept, or kept too long. */
  lease(name: string): Lease<Value> | undefined;
  /** Takes the secret over and leases it. One that is there already under this name is kept, and the new one wiped. */
  put(name: string, value: Value): Lease<Value>;
  /** Wipes all; those on lease when their leases end. */
  close(): void;
};

type Entry<Value> = { readonly value: Value; readonly putAt: number; leases: number; gone: boolean };

/** Both bounds are asked for anew each time, so that they may change: what is older than the bound of now has ended. */
export type LeaseCacheOptions = { readonly countMax: () => number; readonly ageMsMax: () => number; readonly clock: Clock };

export const createLeaseCache = <Value extends Wipeable>({ countMax, ageMsMax, clock }: LeaseCacheOptions): LeaseCache<Value> => {
  // In the order of putting, which is the order of ending.
  const entries = new Map<string, Entry<Value>>();
  let cancelSweep: (() => void) | undefined;

  const remove = (name: string, entry: Entry<Value>): void => {
    entries.delete(name);
    entry.gone = true;
    if (entry.leases === 0) entry.value.wipe();
  };

  const endOf = ({ putAt }: Entry<Value>): number => putAt + ageMsMax();

  /** Removes what has ended and what is too many, and asks to be woken when the next one ends. */
  const sweep = (): void => {
    cancelSweep?.();
    cancelSweep = undefined;
    for (const [name, entry] of entries) {
      if (entries.size <= countMax() && endOf(entry) > clock.now()) {
        cancelSweep = clock.after(endOf(entry) - clock.now(), sweep);
        return;
      }
      remove(name, entry);
    }
  };

  const leaseOf = (entry: Entry<Value>): Lease<Value> => {
    let ended = false;
    entry.leases++;
    const end = (): void => {
      if (ended) return;
      ended = true;
      entry.leases--;
      if (entry.gone && entry.leases === 0) entry.value.wipe();
    };
    return { value: entry.value, end };
  };

  const find = (name: string): Entry<Value> | undefined => {
    const entry = entries.get(name);
    return entry !== undefined && endOf(entry) > clock.now() ? entry : undefined;
  };

  return {
    lease: (name) => {
      const entry = find(name);
      return entry === undefined ? undefined : leaseOf(entry);
    },
    put: (name, value) => {
      const known = find(name);
      if (known !== undefined) {
        if (known.value !== value) value.wipe();
        return leaseOf(known);
      }
      const old = entries.get(name);
      if (old !== undefined) remove(name, old);
      const entry: Entry<Value> = { value, putAt: clock.now(), leases: 0, gone: false };
      entries.set(name, entry);
      const lease = leaseOf(entry);
      sweep();
      return lease;
    },
    close: () => {
      cancelSweep?.();
      cancelSweep = undefined;
      for (const [name, entry] of entries) remove(name, entry);
    },
  };
};

/** As Promise.all, but ends only when all have ended: nothing takes a lease after its user is gone. */
export const allEnded = async <Result>(work: readonly Promise<Result>[]): Promise<Result[]> => {
  await Promise.allSettled(work);
  return Promise.all(work);
};
