/**
 * What is set on connections, and for how long. A server of our own, or one without a pooler: for the life of the connection. A pooler
 * in transaction mode lends a connection for one transaction and gives it to a stranger afterwards: what we need is set in each
 * transaction, for that transaction (SET LOCAL), in the message that begins it, so that it costs no round trip.
 */
export const poolers = ['none', 'transaction'] as const;
export type Pooler = (typeof poolers)[number];

type Parameters = Readonly<Record<string, string | number | boolean>>;

export type Session = {
  /** Of the three kinds of connections in `database.ts`. */
  readonly single: Parameters;
  readonly keyed: Parameters;
  readonly lent: Parameters;
  /** Begins a transaction. */
  readonly begin: string;
  /** Begins the transaction of one statement by key, where that needs one. */
  readonly byKeyBegin: string | undefined;
  /** Whether statements are prepared by name. */
  readonly prepares: boolean;
};

/** Milliseconds, some by PostgreSQL's names. No statement of ours takes seconds, unless something is wrong. */
export const transactionMsMax = 60_000;
const timeouts = { statement_timeout: 30_000, lock_timeout: 10_000, idle_in_transaction_session_timeout: transactionMsMax };
/** A plan made for ten rows reads ten thousand; see `database.ts`. */
const byKeyOnly = { enable_seqscan: 'off', enable_bitmapscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off' };
const named = { application_name: 'cordage' };

const ownSession: Session = {
  single: { ...named, ...timeouts },
  keyed: { ...named, ...timeouts, ...byKeyOnly, plan_cache_mode: 'force_generic_plan' },
  lent: { ...named, ...timeouts, default_transaction_read_only: true },
  begin: 'begin read write',
  byKeyBegin: undefined,
  prepares: true,
};

const begins = (parameters: Parameters): string => ['begin read write', ...Object.entries(parameters).map(([name, value]) => `set local ${name} = ${value}`)].join('; ');

const pooledSession: Session = {
  single: named,
  keyed: named,
  lent: named,
  begin: begins(timeouts),
  byKeyBegin: begins({ ...timeouts, ...byKeyOnly }),
  prepares: false,
};

export const sessionFor = (pooler: Pooler): Session => (pooler === 'none' ? ownSession : pooledSession);
