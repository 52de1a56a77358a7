/** The beginning and the end of a flow. */
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import { recordValueCharsMax } from '../../../messages/grammar/envelope.ts';
import type { FiberStart, Finished } from '../sandbox/sandbox.ts';
import { note, putSession, tellStatus } from './draft.ts';
import type { Draft } from './draft.ts';
import type { FlowError, FlowHead, PinnedCode } from './head.ts';
import { closeSession, failSession } from './session.ts';
import type { Session } from './session.ts';

export type Beginning = Pick<FlowHead, 'kind' | 'clientRequestId' | 'startId' | 'startedBy' | 'flowClassName' | 'context'> & {
  readonly node: VirtualNode;
  readonly cpkHash: string;
  readonly sessions: readonly Session[];
  readonly start: FiberStart;
};

const pinnedCodeOf = (node: VirtualNode, cpkHash: string): PinnedCode => ({ cpkHash, cpkHashes: node.cpkHashes, cpiFullChecksum: node.cpiFullChecksum });

/** Makes the flow; its code begins to run in this step's first round. */
export const beginFlow = (draft: Draft, { node, cpkHash, start, ...known }: Beginning): FlowHead => {
  const head: FlowHead = {
    v: 1,
    flowId: draft.key,
    ...known,
    identity: node.holdingIdentity,
    code: pinnedCodeOf(node, cpkHash),
    status: 'RUNNING',
    result: null,
    error: null,
    pending: [],
    operationCount: 0,
    itemCount: 0,
    createdAt: draft.now,
    updatedAt: draft.now,
  };
  draft.head = head;
  draft.starting = start;
  note(draft, 'debug', 'flow-started', { flowId: head.flowId, kind: head.kind, flowClassName: head.flowClassName });
  tellStatus(draft, head, { flowStatus: 'START_REQUESTED' });
  tellStatus(draft, head);
  return head;
};

/** UTF-16 code units that a status record needs beside the result. */
const statusSlackChars = 5_000;

const faultOfResult = (result: string | null, charsMax: number): string | undefined => {
  if (result === null) return undefined;
  const quoted = JSON.stringify(result).length;
  if (result.length <= charsMax && quoted + statusSlackChars <= recordValueCharsMax) return undefined;
  return `FLOW_RESULT_TOO_LARGE: the result is ${result.length} characters long; at most ${charsMax} are kept: store it with ctx.db and return its id`;
};

/** The code came to its end. */
export const finishFlow = (draft: Draft, finished: Finished): void => {
  if (finished.type === 'error') return failFlow(draft, { type: 'FLOW_FAILED', message: finished.message });
  const fault = faultOfResult(finished.result, draft.limits.resultCharsMax);
  if (fault !== undefined) return failFlow(draft, { type: 'PLATFORM_ERROR', message: fault });
  for (const session of draft.head!.sessions) {
    const closed = closeSession(session, draft.now);
    putSession(draft, draft.head!, closed.session, closed.outgoing);
  }
  endFlow(draft, { ...draft.head!, status: 'COMPLETED', result: finished.result });
};

/** Counterparties learn that the flow failed and not why: what an error says may be private. */
const toldOfFailure = { code: 'FLOW_FAILED', message: 'the flow of the counterparty failed' };

export const failFlow = (draft: Draft, error: FlowError): void => {
  for (const session of draft.head!.sessions) {
    const failed = failSession(session, { code: 'SESSION_ERROR', message: 'this flow failed' }, toldOfFailure, draft.now);
    putSession(draft, draft.head!, failed.session, failed.outgoing);
  }
  note(draft, 'info', 'flow-failed', { flowId: draft.key, flowClassName: draft.head!.flowClassName, error });
  endFlow(draft, { ...draft.head!, status: 'FAILED', error });
};

const endFlow = (draft: Draft, head: FlowHead): void => {
  const ended: FlowHead = { ...head, pending: [], updatedAt: draft.now, sessions: head.sessions.map((session) => ({ ...session, unread: [], early: [] })) };
  draft.head = ended;
  draft.starting = undefined;
  draft.ready = [];
  draft.verifications = [];
  tellStatus(draft, ended);
};
