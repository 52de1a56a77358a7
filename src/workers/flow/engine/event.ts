/** What can happen to a flow. */
import type * as z from 'zod';
import type { SessionMessage } from '../../../messages/flow-to-flow.session.ts';
import type { Outcome, ReturnAddress } from '../../../messages/grammar/envelope.ts';
import type { restToFlowStart } from '../../../messages/rest-to-flow.start.ts';

export type StartEvent = {
  readonly type: 'start';
  readonly key: string;
  readonly id: string;
  /** Milliseconds since the epoch: when it came to the bus. */
  readonly at: number;
  readonly replyTo?: ReturnAddress;
  readonly body: z.infer<typeof restToFlowStart.body>;
};

/** From another virtual node; the link manager has proved who the source is. */
export type MessageEvent = {
  readonly type: 'message';
  /** The link manager's: by it copies of one message are told from what the peer says again. */
  readonly id: string;
  readonly groupId: string;
  readonly source: string;
  readonly destination: string;
  /** `undefined` when the payload is no session message. */
  readonly message: SessionMessage | undefined;
};

/** REST commands a flow that is there. */
export type CommandEvent = {
  readonly type: 'kill' | 'redrive';
  readonly key: string;
  readonly id: string;
  readonly replyTo?: ReturnAddress;
  readonly shortHash: string;
  readonly clientRequestId: string;
  /** Login of the caller. */
  readonly by: string;
};

export type FlowEvent =
  | StartEvent
  | MessageEvent
  | CommandEvent
  | { readonly type: 'undelivered'; readonly messageId: string; readonly reason: string }
  | { readonly type: 'answer'; readonly requestId: string; readonly outcome: Outcome }
  /** Its virtual node is being deleted. */
  | { readonly type: 'eviction' }
  | { readonly type: 'wake'; /** Milliseconds since the epoch: the time that has come. */ readonly dueAt: number };
