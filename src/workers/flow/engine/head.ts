/**
 * The head of a flow: all that a step must know of it without its journal. It is rewritten at each step, so it holds what is
 * open and nothing of what is past.
 *
 *     (start, first session message) ──▶ RUNNING ──▶ COMPLETED | FAILED
 *
 * Invariants:
 * - **H1** an ended flow never runs again and its head changes no more;
 * - **H2** `pending` holds exactly the operations that the fiber waits for and that are not complete;
 * - **H3** `itemCount` is the position of the next item: it grows with the journal, so equal counts mean equal journals.
 */
import type { FlowStatus, FlowStatusName } from '../../../messages/grammar/shapes.ts';
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import type { Session } from './session.ts';

export type FlowIdentity = { readonly x500Name: string; readonly groupId: string; readonly shortHash: string; readonly fullHash: string };

export type FlowError = { readonly type: 'FLOW_FAILED' | 'PLATFORM_ERROR'; readonly message: string };

/** The code a flow was started with, and stays with. */
export type PinnedCode = {
  /** The CPK that holds the flow class. */
  readonly cpkHash: string;
  readonly cpkHashes: readonly string[];
  readonly cpiFullChecksum: string;
};

export type Pending =
  /** Awaits an answer to the request that operation `op` made. */
  | { readonly op: number; readonly type: 'external'; readonly kind: OperationKind }
  | { readonly op: number; readonly type: 'receive'; readonly sessionId: string }
  | { readonly op: number; readonly type: 'sleep'; readonly until: number };

export type FlowHead = {
  readonly v: 1;
  readonly flowId: string;
  readonly kind: 'rest' | 'responder';
  readonly identity: FlowIdentity;
  /** Of flows that REST started. */
  readonly clientRequestId: string | null;
  /** The message that started it: by it a repeat of the start is told from a duplicate. */
  readonly startId: string;
  /** Login of the REST caller, or the counterparty's X.500 name. */
  readonly startedBy: string;
  readonly flowClassName: string;
  readonly code: PinnedCode;
  readonly status: Extract<FlowStatusName, 'RUNNING' | 'COMPLETED' | 'FAILED'>;
  readonly result: string | null;
  readonly error: FlowError | null;
  readonly sessions: readonly Session[];
  readonly pending: readonly Pending[];
  /** Operations issued so far: the number of the next one. */
  readonly operationCount: number;
  readonly itemCount: number;
  /** Properties that travel to the flows of counterparties; the platform's begin with `corda.`. */
  readonly context: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly updatedAt: number;
};

export const hasEnded = (head: FlowHead): boolean => head.status !== 'RUNNING';

/** The compartment a flow runs in: flows of one CPK at one virtual node. */
export const compartmentOf = (head: FlowHead): string => `${head.code.cpkHash}/${head.identity.shortHash}`;

/** A flow as REST shows it. */
export const flowStatusOf = (head: FlowHead): FlowStatus => ({
  holdingIdentityShortHash: head.identity.shortHash,
  clientRequestId: head.clientRequestId,
  flowId: head.flowId,
  flowStatus: head.status,
  flowResult: head.result,
  flowError: head.error,
  timestamp: head.updatedAt,
});

export const sessionOf = (head: FlowHead, sessionId: string): Session | undefined => head.sessions.find(({ id }) => id === sessionId);

export const withSession = (head: FlowHead, session: Session): FlowHead => ({
  ...head,
  sessions: head.sessions.map((one) => (one.id === session.id ? session : one)),
});

/** When the flow wants to be woken: its earliest sleep or the earliest silence of a session. */
export const dueAtOf = (head: FlowHead, silenceAt: (session: Session) => number | undefined): number | undefined => {
  if (hasEnded(head)) return undefined;
  const sleeps = head.pending.flatMap((one) => (one.type === 'sleep' ? [one.until] : []));
  const silences = head.sessions.flatMap((session) => silenceAt(session) ?? []);
  const times = [...sleeps, ...silences];
  return times.length === 0 ? undefined : Math.min(...times);
};
