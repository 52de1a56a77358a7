/** Clients of one connection each, lent to one transaction at a time; who finds none waits in line. */
import type postgres from 'postgres';
import { DatabaseError } from './database-error.ts';

export type Lent = {
  readonly client: postgres.Sql<{}>;
  /** How often its connection was lost. */
  readonly losses: () => number;
};

export type LendingOptions = {
  readonly clientsMax: number;
  readonly open: (onclose: () => void) => postgres.Sql<{}>;
};

export type Lendings = {
  lend<Result>(work: (lent: Lent) => Promise<Result>): Promise<Result>;
  /** Waits so many seconds for what is lent. */
  close(seconds: number): Promise<void>;
};

const make = (open: LendingOptions['open']): Lent => {
  let lost = 0;
  const client = open(() => void lost++);
  return { client, losses: () => lost };
};

export const createLendings = ({ clientsMax, open }: LendingOptions): Lendings => {
  const all: Lent[] = [];
  const idle: Lent[] = [];
  const line: ((lent: Lent) => void)[] = [];
  let closed = false;

  const take = (): Promise<Lent> | Lent => {
    const ready = idle.pop();
    if (ready !== undefined) return ready;
    if (all.length >= clientsMax) return new Promise((resolve) => void line.push(resolve));
    const made = make(open);
    all.push(made);
    return made;
  };
  const giveBack = (lent: Lent): void => {
    const next = line.shift();
    if (next === undefined) idle.push(lent);
    else next(lent);
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
      await Promise.all(all.map(({ client }) => client.end({ timeout: seconds })));
    },
  };
};
