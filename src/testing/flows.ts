/** Flows of a test network as a test holds them. */
import type { FlowStatus } from '../messages/grammar/shapes.ts';
import { resultBody } from '../workers/rest/flow-body.ts';
import { flowStatusOf, hasEnded, type FlowHead, type FlowError } from '../workers/flow/engine/head.ts';
import type { Stored } from '../workers/flow/engine/journal.ts';
import { inspectionOf } from '../workers/flow/read-journal.ts';
import { restToFlowKill } from '../messages/rest-to-flow.kill.ts';
import { askFlowRoom } from './ask.ts';
import type { MemberRoom } from './member.ts';
import { renderTimeline, timelineOf, type FlowJournal } from './timeline.ts';

/** What a flow gives, as JSON brings it: nothing is `null`. */
export type ResultOf<Result> = [Result] extends [void] ? null : Result;

export type TestFlow<Result = unknown> = {
  readonly id: string;
  readonly flowClassName: string;
  /** `null` of a flow that a counterparty's session started. */
  readonly clientRequestId: string | null;
  /** As REST shows it, at this moment: nothing moves. */
  status(): Promise<FlowStatus>;
  /**
   * Lets the network work until the flow has ended, and gives its result; a string that is JSON text is read, as REST does.
   * Rejects with `TestFlowError` when the flow failed, or when nothing is left to do and it still waits: the message says for what.
   */
  result(): Promise<ResultOf<Result>>;
  /** Lets the network work until the flow has failed, and gives its error. Rejects when it completed, or still waits. */
  failure(): Promise<FlowError>;
  /** Kills it, as an operator may; its counterparties hear that it has ended. Rejects when it has ended already, and of flows that REST did not start. */
  kill(): Promise<void>;
  /** Its journal as text, as `cordage flow inspect` shows it: nothing moves. */
  timeline(): Promise<string>;
};

/** A flow of a test did not come to the end that the test asked for. */
export class TestFlowError extends Error {
  /** `FLOW_FAILED`, `FLOW_KILLED`, `PLATFORM_ERROR`; `COMPLETED` where a failure was expected; `WAITING` where nothing moves it. */
  readonly type: FlowError['type'] | 'COMPLETED' | 'WAITING';
  constructor(type: TestFlowError['type'], message: string) {
    super(message);
    this.name = 'TestFlowError';
    this.type = type;
  }
}

export const loadHead = async ({ states }: MemberRoom, flowId: string): Promise<FlowHead | undefined> => {
  const [state] = await states.load([flowId]);
  // The flow room's store holds its heads.
  return (state?.head ?? undefined) as FlowHead | undefined;
};

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** Who a flow waits for, in words. */
const waitsOf = ({ pending, sessions }: FlowHead): string[] =>
  pending.map((one) => {
    if (one.type === 'sleep') return `a sleep until ${isoTime(one.until)}: let time pass with network.advance, or open the network with time: 'auto'`;
    if (one.type === 'external') return `the answer to ${one.kind}, to be asked again at ${isoTime(one.againAt)}`;
    if (one.type === 'receive') return `a message from ${sessions.find(({ id }) => id === one.sessionId)?.counterparty ?? 'a session'}`;
    return 'something else';
  });

const stillWaits = async (member: MemberRoom, head: FlowHead): Promise<TestFlowError> => {
  const waits = waitsOf(head);
  const parked = await member.parking.list(3);
  const lines = [...waits.map((wait) => `it waits for ${wait}`), ...parked.map(({ topic, reason }) => `a record on ${topic} could not be handled: ${reason}`)];
  return new TestFlowError('WAITING', `${head.flowClassName} has not ended and nothing is left to do${lines.length === 0 ? '' : `: ${lines.join('; ')}`}`);
};

export type FlowPowers = {
  readonly member: MemberRoom;
  /** Lets the network work until this is so, or nothing is left to do. */
  readonly workUntil: (done: () => Promise<boolean>) => Promise<void>;
};

export const openTestFlow = <Result>(powers: FlowPowers, head: FlowHead): TestFlow<Result> => {
  const { member, workUntil } = powers;
  const { flowId } = head;
  const load = async (): Promise<FlowHead> => {
    const found = await loadHead(member, flowId);
    if (found === undefined) throw new TestFlowError('WAITING', `${head.flowClassName} is no longer known: ended flows are forgotten after a while`);
    return found;
  };
  const ended = async (): Promise<FlowHead> => {
    await workUntil(async () => hasEnded(await load()));
    const now = await load();
    if (!hasEnded(now)) throw await stillWaits(member, now);
    return now;
  };
  return {
    id: flowId,
    flowClassName: head.flowClassName,
    clientRequestId: head.clientRequestId,
    status: async () => flowStatusOf(await load()),
    result: async () => {
      const now = await ended();
      if (now.error !== null) throw new TestFlowError(now.error.type, [now.error.message, ...(now.error.at ?? []).map((place) => `    at ${place}`)].join('\n'));
      // JSON of what the flow returned; `ResultOf` says what becomes of nothing.
      return resultBody(flowStatusOf(now)).json as ResultOf<Result>;
    },
    kill: async () => {
      const { clientRequestId } = head;
      if (clientRequestId === null) throw new TestFlowError('WAITING', `${head.flowClassName} was started by a session; kill the flow that opened it`);
      const { shortHash } = head.identity;
      // Each call is a request of its own, as each call of an operator is.
      const id = `kill/${flowId}/${member.bus.records(restToFlowKill.topic).length}`;
      const outcome = await askFlowRoom(powers, restToFlowKill, { key: flowId, id, body: { shortHash, clientRequestId, killedBy: 'test' } });
      if (outcome?.type === 'refused') throw new TestFlowError('WAITING', `${head.flowClassName} was not killed: ${outcome.code}: ${outcome.message}`);
    },
    timeline: async () => {
      const now = await load();
      const items = (await member.states.loadItems([flowId])).get(flowId) ?? [];
      // The flow room's store holds its items.
      const journal: FlowJournal = { flow: inspectionOf(now), items: items as readonly Stored[] };
      return renderTimeline(journal.flow, timelineOf(journal));
    },
    failure: async () => {
      const { error, result } = await ended();
      if (error === null) throw new TestFlowError('COMPLETED', `the flow completed with ${result ?? 'nothing'}`);
      return error;
    },
  };
};
