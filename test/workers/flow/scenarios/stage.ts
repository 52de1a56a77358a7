/**
 * A stage for one flow of Alice's: it follows a program, and Bob, its counterparty, is played by the test, message by message and in
 * any order. Rooms around it answer only what the test lets through.
 */
import { flowIdOf, incarnationOf, originOf, responderFlowIdOf, sessionIdOf } from '../../../../src/identity/derive.ts';
import { allToFlowAnswer } from '../../../../src/messages/all-to-flow.answer.ts';
import { allToLinkManagerSend } from '../../../../src/messages/all-to-link-manager.send.ts';
import type { SessionMessage } from '../../../../src/messages/flow-to-flow.session.ts';
import { encode } from '../../../../src/messages/grammar/envelope.ts';
import type { Outcome } from '../../../../src/messages/grammar/envelope.ts';
import type { FlowStatus } from '../../../../src/messages/grammar/shapes.ts';
import { linkManagerToFlowReceive } from '../../../../src/messages/link-manager-to-flow.receive.ts';
import type { FlowHead } from '../../../../src/workers/flow/engine/head.ts';
import { createTrustingSandbox } from '../../../../src/workers/flow/worker.ts';
import { makeSetting } from '../random/run.ts';
import type { Step } from '../random/program.ts';
import { groupId, identityOf, nameOf } from '../world/identities.ts';
import { createWorld, startIdOf } from '../world/world.ts';
import type { World, WorldOptions } from '../world/world.ts';

export const alice = nameOf('Alice');
export const bob = nameOf('Bob');
const flowId = flowIdOf(identityOf('Alice').shortHash, 'one');
/** A flow of Bob's that opens sessions with Alice. */
const bobsFlowId = '00000000-0000-8000-8000-00000000b0b0';

export type Content = SessionMessage['content'];
export const data = (value: unknown): Content => ({ type: 'data', json: JSON.stringify(value) });
export const closes: Content = { type: 'close' };
export const fails: Content = { type: 'error', code: 'FLOW_FAILED', message: 'it went wrong' };

/** What Alice said: the session's number, then what it was. */
export type Said = { readonly session: number; readonly seq: number; readonly content: Content; readonly init?: SessionMessage['init'] };

export type Stage = {
  readonly world: World;
  /** Alice's flow begins; Bob hears nothing until he says something. */
  begin(steps: readonly Step[], throws?: boolean): Promise<void>;
  /** Bob answers on the nth session that Alice opened. */
  says(session: number, seq: number, content: Content): Promise<void>;
  /** Bob opens his nth session with Alice, or says more on it. */
  opens(session: number, seq: number, content: Content, init?: Partial<NonNullable<SessionMessage['init']>>): Promise<void>;
  /** Another room answers the request of an operation; of another origin's, where one is named. */
  answers(op: number, outcome: Outcome, of?: string): Promise<void>;
  /** What Alice has said since this was asked last. */
  heard(): Said[];
  /** Topics of the requests that other rooms were asked since this was asked last. */
  asked(): string[];
  status(): FlowStatus | undefined;
  /** What the program has noted, when it has ended. */
  result(): unknown;
  /** The flow that answers Bob's nth session. */
  responder(session: number): Promise<FlowHead | undefined>;
};

const setting = makeSetting();

export const createStage = async (options: Partial<WorldOptions> = {}): Promise<Stage> => {
  const world = await createWorld({ members: ['Alice', 'Bob'], sandbox: () => createTrustingSandbox(), route: (record) => (record.topic === allToLinkManagerSend.topic ? [] : [record]), ...(await setting), ...options });
  let heardCount = 0;
  let askedCount = 0;
  let messageCount = 0;
  const deliver = async (key: string, message: SessionMessage): Promise<void> => {
    const messageId = `m${++messageCount}`;
    const body = { type: 'message' as const, messageId, groupId, source: bob, destination: alice, payload: JSON.stringify(message) };
    world.deliver('Alice', encode(linkManagerToFlowReceive, { key, id: messageId, body }));
    await world.settle();
  };
  const origin = originOf(flowId, incarnationOf(startIdOf('one')));
  const sessionsOpened = Array.from({ length: 10 }, (_, i) => sessionIdOf(origin, i));
  const sessionsAnswered = Array.from({ length: 10 }, (_, i) => sessionIdOf(bobsFlowId, i));
  const numberOf = (sessionId: string): number => Math.max(sessionsOpened.indexOf(sessionId), sessionsAnswered.indexOf(sessionId));
  const responderId = (session: number): string => responderFlowIdOf(groupId, alice, bob, sessionsAnswered[session]!);
  return {
    world,
    begin: async (steps, throws = false) => {
      world.start('Alice', 'random.Follow', { steps, throws }, 'one');
      await world.settle();
    },
    says: (session, seq, content) => deliver(flowId, { v: 1, sessionId: sessionsOpened[session]!, sender: 'responder', seq, version: 2, content }),
    opens: (session, seq, content, init = {}) => {
      const full = { protocol: 'random.talk', versions: [1, 2], initiatorFlowId: bobsFlowId, initiatorFlowClassName: 'bobs.Flow', context: {}, ...init };
      const base = { v: 1 as const, sessionId: sessionsAnswered[session]!, sender: 'initiator' as const, seq, content };
      return deliver(responderId(session), seq === 1 ? { ...base, init: full } : { ...base, senderFlowId: bobsFlowId });
    },
    answers: async (op, outcome, of = origin) => {
      const requestId = `${of}/${op}`;
      world.deliver('Alice', encode(allToFlowAnswer, { key: flowId, id: `${requestId}/answer`, body: { requestId, outcome } }));
      await world.settle();
    },
    heard: () => {
      const sends = world.published.filter(({ topic }) => topic === allToLinkManagerSend.topic);
      const fresh = sends.slice(heardCount);
      heardCount = sends.length;
      return fresh.map(({ value }) => {
        const { body } = JSON.parse(value) as { body: { payload: string } };
        const { sessionId, seq, content, init } = JSON.parse(body.payload) as SessionMessage;
        return { session: numberOf(sessionId), seq, content, ...(init === undefined ? {} : { init }) };
      });
    },
    asked: () => {
      const fresh = world.published.slice(askedCount);
      askedCount = world.published.length;
      return fresh.map(({ topic }) => topic).filter((topic) => topic === 'flow-to-db.entity' || topic === 'all-to-crypto.sign');
    },
    status: () => world.statusOf('Alice', 'one'),
    result: () => JSON.parse(world.statusOf('Alice', 'one')?.flowResult ?? 'null') as unknown,
    responder: async (session) => (await world.rooms.get('Alice')!.states.load([responderId(session)]))[0]?.head as FlowHead | undefined,
  };
};

/** Steps that open sessions with Bob and say something on each, so that he knows of them. */
export const openTo = (count: number): Step[] =>
  Array.from({ length: count }, (_, session) => session).flatMap((session): Step[] => [
    { do: 'open', to: bob },
    { do: 'send', session, say: { say: 'mute' } },
  ]);
export const hear = (session: number): Step & { readonly do: 'hear' } => ({ do: 'hear', session });
export const hearBoth: Step = { do: 'all', parts: [{ do: 'hear', session: 0 }, { do: 'hear', session: 1 }] };
