/**
 * Clients of one connection each, lent to one transaction at a time; who finds none waits in line. A client whose connection
 * was lost is never used again (see `database.ts`, traps 3 and 4).
 */
import type postgres from 'postgres';
import { DatabaseError } from './database-error.ts';

export type Client = postgres.Sql<{}>;

export type Lent = {
  readonly client: Client;
  readonly isLost: () => boolean;
  /** Counts as lost from now on. */
  readonly giveUp: () => void;
};

export type LendingOptions = {
  readonly clientsMax: number;
  readonly open: (onclose: () => void) => Client;
};

export type Lendings = {
  lend<Result>(work: (lent: Lent) => Promise<Result>): Promise<Result>;
  /** Waits so many seconds for what is lent. */
  close(seconds: number): Promise<void>;
};

const make = (open: LendingOptions['open']): Lent => {
  let lost = false;
  const giveUp = (): void => {
    lost = true;
  };
  return { client: open(giveUp), isLost: () => lost, giveUp };
};

export const createLendings = ({ clientsMax, open }: LendingOptions): Lendings => {
  const all = new Set<Lent>();
  const idle: Lent[] = [];
  const line: ((lent: Lent) => void)[] = [];
  let closed = false;

  const makeOne = (): Lent => {
    const made = make(open);
    all.add(made);
    return made;
  };
  const discard = (lent: Lent): void => {
    all.delete(lent);
    void lent.client.end({ timeout: 0 });
  };
  const takeIdle = (): Lent | undefined => {
    for (let lent = idle.pop(); lent !== undefined; lent = idle.pop()) {
      if (!lent.isLost()) return lent;
      discard(lent);
    }
    return undefined;
  };
  const take = (): Promise<Lent> | Lent => {
    const ready = takeIdle();
    if (ready !== undefined) return ready;
    return all.size < clientsMax ? makeOne() : new Promise((resolve) => void line.push(resolve));
  };
  const giveBack = (lent: Lent): void => {
    if (lent.isLost()) discard(lent);
    const next = line.shift();
    if (next !== undefined) next(lent.isLost() ? makeOne() : lent);
    else if (!lent.isLost()) idle.push(lent);
  };

  return {
    lend: async (work) => {
      if (closed) throw new DatabaseError('DATABASE_UNREACHABLE', 'the database was closed by this process');
      const lent = await take();
      try {
        return await work(lent);
      } finally {
        giveBack(lent);
      }
    },
    close: async (seconds) => {
      closed = true;
      await Promise.all([...all].map(({ client }) => client.end({ timeout: seconds })));
    },
  };
};
