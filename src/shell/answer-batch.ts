/**
 * One batch of an answering wire: one transaction, in which stored answers are found, the others are worked out and stored
 * (W3). Answers and effects are sent after the commit; a crash in between is mended by the repeat, which finds them (W2).
 *
 * Batches of an independent wire overlap. A key is in one batch at a time, from the moment its requests are taken until their
 * answers are on the bus, and only then are they done: so each key's answers keep their order, and no offset is committed before
 * an answer that stands behind it. One request id under two keys may be in two batches: the store lets one of them through,
 * and the other finds its answer.
 */
import type { Bus, Consumer } from '../bus/bus.ts';
import type { Clock } from '../host/clock.ts';
import { answerTo, type Delivery } from '../messages/grammar/envelope.ts';
import type { InRecord, OutRecord } from '../messages/grammar/record.ts';
import type { Room } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createLanes, type Lanes } from './apart.ts';
import { createCommitter } from './batch/committer.ts';
import { createIntake, type Intake } from './batch/intake.ts';
import { createShellMetrics } from './batch/metrics.ts';
import { createOffsets } from './batch/offsets.ts';
import { createOutbox, type Outbox } from './batch/outbox.ts';
import { createParking, type Reasoned } from './batch/parking.ts';
import { shellLimits, type ShellLimits } from './config.ts';
import type { Batch } from './machine-batch.ts';
import { isOperational, messageOf, type Probe } from './operational.ts';
import type { AnswerStore, ParkingLot, StateStore } from './store.ts';
import type { Answering } from './worker.ts';
import { ProbeCrash, storesAnswers, workOut, type Told as ToldOf, type WorkedOut, type WorkOut } from './work-out.ts';

export type AnswerBatchOptions = {
  readonly room: Room;
  readonly answering: Answering<any, any, any>;
  /** Required unless the wire stores no answers. */
  readonly answers?: AnswerStore<any>;
  /** What handlers without an answer store read from: the states of the room's machine. */
  readonly states?: StateStore;
  readonly parking: ParkingLot;
  readonly publish: Bus['publish'];
  readonly commit: Consumer['commit'];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: ShellLimits;
  readonly probe?: Probe;
};

type Request = Delivery<unknown>;
type Told = ToldOf<Request>;
type Worked = WorkedOut<Request> & { readonly faults: readonly Reasoned<InRecord>[] };

const internalCodeOf = (room: Room): string => `${room.toUpperCase().replaceAll('-', '_')}_INTERNAL`;

type Work = WorkOut & { readonly log: Log };

const refuse = ({ room }: Work, request: Request, error: unknown): Worked => ({
  told: [{ request, outcome: { type: 'refused', code: internalCodeOf(room), message: 'the request met a fault; it is parked and its reason logged' } }],
  effects: [],
  faults: [{ record: request.record, reason: messageOf(error) }],
});

/** If the batch throws, its halves are tried apart, so that one request's fault is its own (W5); first it is made sure that it is no repeat's. */
const answerRequests = async (work: Work, requests: readonly Request[]): Promise<Worked> => {
  try {
    return { ...(await workOut(work, requests)), faults: [] };
  } catch (error) {
    if (error instanceof ProbeCrash) throw error.cause;
    if (isOperational(error)) throw error;
    if (!work.looks) return answerRequests({ ...work, looks: true }, requests);
    work.log.error('answer-threw', { topic: work.answering.wire.topic, requests: requests.length, error });
    if (requests.length === 1) return refuse(work, requests[0]!, error);
  }
  const middle = requests.length >> 1;
  const left = await answerRequests(work, requests.slice(0, middle));
  const right = await answerRequests(work, requests.slice(middle));
  return { told: [...left.told, ...right.told], effects: [...left.effects, ...right.effects], faults: [...left.faults, ...right.faults] };
};

const answerRecords = (told: readonly Told[]): OutRecord[] =>
  told.flatMap(({ request, outcome }) => {
    const record = answerTo(request, outcome);
    return record === undefined ? [] : [record];
  });

type Ends = {
  readonly answerBy: (answers: AnswerStore<any>, requests: readonly Request[]) => Promise<void>;
  readonly outbox: Outbox;
  readonly intake: Intake;
  readonly commit: () => void;
  readonly limits: ShellLimits;
};

/** For requests whose answers are kept elsewhere. */
const openLanes = ({ answering, log }: AnswerBatchOptions, { answerBy, outbox, intake, commit, limits }: Ends): Lanes | undefined =>
  answering.apart === undefined
    ? undefined
    : createLanes({
        apart: answering.apart,
        requestsMax: limits.recordsPerPollMax,
        waitingMax: limits.apartWaitingMax,
        answer: answerBy,
        refuse: (requests, outcome) => outbox.add(answerRecords(requests.map((request) => ({ request, outcome }))), () => intake.done(requests)),
        deliver: async () => {
          await outbox.flush();
          commit();
        },
        giveBack: intake.giveBack,
        log,
      });

export const createAnswerBatch = (options: AnswerBatchOptions): Batch => {
  const { room, answering, clock, log, publish, probe } = options;
  if (storesAnswers(answering) && options.answers === undefined) {
    throw new Error(`${answering.wire.topic} stores its answers, so the ${room} room needs an answer store`);
  }
  const limits = options.limits ?? shellLimits();
  const metrics = createShellMetrics(options.metrics, room, answering.wire.topic);
  const parking = createParking({ lot: options.parking, clock, log, metrics, limits });
  const outbox = createOutbox({ publish, parking, limits });
  const offsets = createOffsets();
  const committer = createCommitter({ offsets, commit: options.commit, metrics, log, probe });
  const intake = createIntake({ wire: answering.wire, offsets, parking, metrics });
  const { topic } = answering.wire;

  /** Nobody waits for these any more. */
  const dropExpired = (): void => {
    const now = clock.now();
    const count = intake.drop(({ deadline }) => deadline !== undefined && deadline < now);
    if (count === 0) return;
    metrics.count('expired', topic, count);
    log.info('requests-expired', { topic, count });
  };
  const { answers, states } = options;
  const work: Work = { room, answering, answers, states, clock, metrics, probe, log, looks: answering.isIndependent !== true };
  const answerBy = async (by: Work, requests: readonly Request[]): Promise<void> => {
    const { told, effects, faults } = await answerRequests(by, requests);
    await probe?.('saved');
    await parking.records(faults);
    // Effects first: who has its answer can see them.
    outbox.add([...effects, ...answerRecords(told)], () => intake.done(requests));
  };
  const lanes = openLanes(options, { answerBy: (store, requests) => answerBy({ ...work, answers: store }, requests), outbox, intake, commit: committer.commit, limits });
  const answerTaken = async (taken: readonly Request[]): Promise<void> => {
    let here = taken;
    try {
      if (lanes !== undefined) here = await lanes.take(taken);
      if (here.length > 0) await answerBy(work, here);
    } catch (error) {
      intake.giveBack(here);
      throw error;
    }
  };
  const answerWaiting = async (): Promise<void> => {
    for (let requests = intake.take(limits.recordsPerPollMax); requests.length > 0; requests = intake.take(limits.recordsPerPollMax)) {
      await answerTaken(requests);
      await metrics.timed('publish', () => outbox.flush());
    }
  };

  return {
    atOnceMax: answering.isIndependent === true ? limits.answerBatchesAtOnceMax : 1,
    handleBatch: async (records) => {
      intake.accept(records);
      await probe?.('polled');
      await outbox.flush();
      await intake.parkMalformed();
      dropExpired();
      await answerWaiting();
      await probe?.('published');
      committer.commit();
    },
    readyAt: () => (intake.hasReady() ? 0 : undefined),
    heldCount: intake.count,
    committed: committer.committed,
  };
};
