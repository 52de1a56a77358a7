/** Reads a flow's status: from what is known here, from the flow room, or by waiting for its end. */
import type { Refusal } from '../../messages/grammar/envelope.ts';
import type { FlowStatus } from '../../messages/grammar/shapes.ts';
import { restToFlowQuery } from '../../messages/rest-to-flow.query.ts';
import { hasEnded, type FlowKey } from './flow-statuses.ts';
import { refuse } from './refusal.ts';
import type { RestRoom } from './room.ts';

export type FoundFlow = { readonly type: 'found'; readonly status: FlowStatus } | Refusal;

const found = (status: FlowStatus): FoundFlow => ({ type: 'found', status });

export const flowUnknown = ({ shortHash, clientRequestId }: FlowKey): Refusal =>
  refuse('REST_FLOW_UNKNOWN', `no flow of virtual node ${shortHash} has the client request id ${clientRequestId}`, { clientRequestId });

/** Asks the flow room. */
export const queryFlow = async (room: RestRoom, key: FlowKey): Promise<FoundFlow> => {
  const { requests, statuses, limits } = room;
  const { isTracking, epoch } = statuses;
  const outcome = await requests.ask(restToFlowQuery, { key: key.shortHash, body: { type: 'status', ...key }, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'refused') return outcome;
  const [status] = outcome.value.flows;
  if (status === undefined) return flowUnknown(key);
  // What comes after this status will be noted only if statuses were followed before the question was put (S2).
  if (hasEnded(status) || (isTracking && epoch === statuses.epoch)) statuses.note(status);
  return found(status);
};

type Ear = { readonly heard: Promise<FlowStatus | undefined>; cancel(): void };

/** Resolves with the status in which the flow ended; with `undefined` when time is up or statuses may have been missed. */
const hearEnd = ({ statuses, clock }: RestRoom, key: FlowKey, delayMs: number): Ear => {
  const { promise, resolve } = Promise.withResolvers<FlowStatus | undefined>();
  const stopTimer = clock.after(delayMs, () => cancel());
  const stopListening = statuses.listen(key, (status) => {
    if (status === undefined || hasEnded(status)) cancel(status);
  });
  const cancel = (status?: FlowStatus): void => {
    stopTimer();
    stopListening();
    resolve(status);
  };
  return { heard: promise, cancel };
};

/**
 * The end of a flow that was started just now, where it comes within the wait. It rests on events alone: who gets `undefined`
 * knows that the flow was started, and asks for its status as after any start.
 */
export const hearEndIfFollowed = async (room: RestRoom, key: FlowKey, waitMs: number): Promise<FlowStatus | undefined> => {
  const { statuses, limits } = room;
  if (waitMs <= 0 || statuses.isLeaving || !statuses.isTracking || statuses.listenerCount >= limits.listenersMax) return undefined;
  const known = statuses.known(key);
  return known !== undefined && hasEnded(known) ? known : hearEnd(room, key, waitMs).heard;
};

/** Until statuses are followed, or it is time to ask again. */
export const untilTracking = async ({ statuses, clock, limits }: RestRoom, leftMs = Infinity): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(Math.min(leftMs, limits.untrackedAskMs), resolve);
  await Promise.race([statuses.tracking(), promise]);
  cancel();
};

/** Listens before it asks, so that an end which comes between the two is not missed. `undefined`: look again. */
const awaitEnd = async (room: RestRoom, key: FlowKey, leftMs: number): Promise<FoundFlow | undefined> => {
  const known = room.statuses.known(key);
  const ear = hearEnd(room, key, leftMs);
  try {
    const asked = known === undefined ? await queryFlow(room, key) : undefined;
    if (asked !== undefined && (asked.type === 'refused' || hasEnded(asked.status))) return asked;
    const ended = await ear.heard;
    return ended === undefined ? undefined : found(ended);
  } finally {
    ear.cancel();
  }
};

/**
 * The flow's status now, or, with a wait, as soon as it has ended. When the wait is over it asks once more, so that the
 * answer never rests on events alone; while statuses cannot be followed it asks again and again.
 */
export const findFlow = async (room: RestRoom, key: FlowKey, waitMs: number): Promise<FoundFlow> => {
  const { statuses, clock, limits } = room;
  const until = clock.now() + waitMs;
  for (;;) {
    const known = statuses.known(key);
    if (known !== undefined && hasEnded(known)) return found(known);
    const leftMs = until - clock.now();
    if (leftMs <= 0 || statuses.isLeaving || statuses.listenerCount >= limits.listenersMax) return queryFlow(room, key);
    if (statuses.isTracking) {
      const ended = await awaitEnd(room, key, leftMs);
      if (ended !== undefined) return ended;
    } else {
      const asked = await queryFlow(room, key);
      if (asked.type === 'refused' || hasEnded(asked.status)) return asked;
      await untilTracking(room, leftMs);
    }
  }
};
