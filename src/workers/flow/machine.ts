/**
 * The flow machine: steps flows in batches.
 *
 * A flow that is held in the sandbox goes on from memory; one that is not is rebuilt from its journal, which the shell then loads
 * (`needsItems`). What memory holds is only ever a copy: it is used when it stands exactly where the stored head stands (H3), and
 * thrown away when a step of its flow could not be finished or kept.
 */
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Machine, StepInput, StepOutput } from '../../shell/worker.ts';
import type { FlowLimits } from './config.ts';
import type { DirectWays } from '../../shell/direct.ts';
import { isRepeatable, timeOf } from './engine/direct.ts';
import { createForesight } from './engine/foresight.ts';
import { flushDraft, note, openDraft } from './engine/draft.ts';
import type { Draft } from './engine/draft.ts';
import { obey } from './engine/command.ts';
import type { FlowEvent } from './engine/event.ts';
import type { Facts } from './engine/facts.ts';
import { dueAtOf, hasEnded, isOnHold, keptMsOf, removedAt } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';
import { messagesOf } from './engine/journal.ts';
import type { JournalItem, Stored } from './engine/journal.ts';
import { killFlow, releaseHold } from './engine/lifecycle.ts';
import { isDue } from './engine/request.ts';
import { runRounds } from './engine/rounds.ts';
import { silenceAt } from './engine/session.ts';
import type { ViewedFacts } from './facts.ts';
import { createMemory } from './memory.ts';
import type { Memory } from './memory.ts';
import { onAnswer, takeAnswered } from './on-answer.ts';
import { onFlowEviction } from './on-eviction.ts';
import { onKill } from './on-kill.ts';
import { onReceive, takeReceived, takeUndelivered } from './on-receive.ts';
import { onRedrive } from './on-redrive.ts';
import { onStart, takeStart } from './on-start.ts';
import { onWake } from './on-wake.ts';
import type { Sandbox } from './sandbox/sandbox.ts';
import { createReport } from './report.ts';

export type FlowMachine = Machine<FlowHead, JournalItem, FlowEvent>;

export type FlowMachineOptions = {
  readonly facts: ViewedFacts;
  readonly sandbox: Sandbox;
  /** Rooms of this process that may be asked without the bus. */
  readonly direct: DirectWays;
  readonly limits: FlowLimits;
  readonly log: Log;
  readonly metrics: Metrics;
};

export const createFlowMachine = ({ facts, sandbox, direct, limits, log, metrics }: FlowMachineOptions): FlowMachine => {
  const memory = createMemory(sandbox, limits.flowsLiveMax);
  const report = createReport(log, metrics);
  const foresight = createForesight({ direct, limits, joined: (drafts, isDone) => (isDone ? drafts.forEach(report.step) : report.undone(drafts.length)) });
  return {
    hearings: [onStart, onReceive, onAnswer, onKill, onRedrive, onFlowEviction],
    wake: onWake,
    prepare: facts.prepare,
    hearsEarly: true,
    // While one step waits for the sandbox or for a direct answer, another goes on.
    stepsAtOnceMax: 2,
    isBirth: ({ type }) => type === 'start',
    // Virtual nodes take turns, so that one which starts thousands of flows does not keep another's waiting.
    scopeOf: (event) => (event.type === 'start' ? event.body.holdingIdentity.shortHash : undefined),
    needsItems: (key, head, events) => {
      if (head === undefined) return false;
      if (hasEnded(head)) return head.resume !== undefined && events.some(isRedrive);
      return !memory.holds(key, head.itemCount) || asksAgain(head, events);
    },
    step: async (inputs, now) => {
      const keys = inputs.map(({ key }) => key);
      // One batch sees one configuration.
      const current = { ...limits };
      const open = (input: StepInput<FlowHead, JournalItem, FlowEvent>, foresees: boolean): Draft => {
        const draft = draftOf(input, { now, limits: current, memory, foresees });
        takeEvents(draft, input.events, facts);
        overrule(draft, facts);
        return draft;
      };
      const run = (some: readonly Draft[]): Promise<void> => runRounds(some, { sandbox, facts, direct, foresight, limits: current });
      let drafts: readonly Draft[] = [];
      memory.begin(keys);
      try {
        const first = inputs.map((input) => open(input, input.isAgain !== true));
        await run(first);
        await foresight.join(first);
        const undone = first.filter(isUndone);
        report.undone(undone.length);
        memory.forget(undone.map(({ key }) => key));
        drafts = first.map((draft, i) => (isUndone(draft) ? open(inputs[i]!, false) : draft));
        await run(drafts.filter((draft, i) => draft !== first[i]));
        for (const draft of drafts) {
          // Nothing was to be foreseen any more: its sandbox process says what none of ours does.
          if (draft.isUndone) draft.later = 'the sandbox went on over answers that had not come';
          if (draft.later === undefined) flushDraft(draft);
        }
      } catch (error) {
        // The sandbox may be ahead of the store now.
        memory.forget(keys);
        throw error;
      } finally {
        memory.end(keys);
      }
      memory.keep(drafts);
      // What hangs on joint work is told of when that was done: else the step is made again, and would say all of it twice.
      for (const draft of drafts) if (draft.joint === undefined) report.step(draft);
      report.held(memory.count());
      return drafts.map((draft) => outputOf(draft, facts));
    },
    forget: (keys) => memory.forget(keys),
  };
};

const isRedrive = ({ type }: FlowEvent): boolean => type === 'redrive';

/** Whether a request is to be made again, which takes a replay. */
const asksAgain = ({ pending }: FlowHead, events: readonly FlowEvent[]): boolean =>
  events.some((event) => event.type === 'wake' && pending.some((one) => isDue(one, event.dueAt)));

const isUndone = (draft: Draft): boolean => draft.isUndone;

type DraftOptions = { readonly now: number; readonly limits: FlowLimits; readonly memory: Memory; readonly foresees: boolean };

const draftOf = ({ key, head, items, events, durable }: StepInput<FlowHead, JournalItem, FlowEvent>, { now, limits, memory, foresees }: DraftOptions): Draft => {
  // Items come for a flow that memory does not hold, or not at this point.
  if (items !== undefined) memory.forget([key]);
  const own = itemsOf(head, items);
  const messages = own === undefined ? memory.messagesOf(key) : messagesOf(own);
  return openDraft({ key, now, durable, at: timeOf(head, events, now), limits, isRepeatable: isRepeatable(head, events), foresees, head, items: own, messages });
};

/** The journal as it was at this head: another replica may have gone on since the head was read, and then this step is void. */
const itemsOf = (head: FlowHead | undefined, items: readonly Stored[] | undefined): readonly Stored[] | undefined =>
  head === undefined ? items : items?.filter(({ position }) => position < head.itemCount);

const takeEvents = (draft: Draft, events: readonly FlowEvent[], facts: Facts): void => {
  for (const event of events) {
    if (draft.later !== undefined) return;
    takeEvent(draft, event, facts);
  }
};

const takeEvent = (draft: Draft, event: FlowEvent, facts: Facts): void => {
  switch (event.type) {
    case 'start':
      return takeStart(draft, event, facts);
    case 'message':
      return takeReceived(draft, event, facts);
    case 'undelivered':
      return takeUndelivered(draft, event.messageId, event.reason);
    case 'answer':
      return takeAnswered(draft, event.requestId, event.outcome);
    case 'kill':
    case 'redrive':
      return obey(draft, event);
    case 'wake':
      return note(draft, 'debug', 'flow-woken', { flowId: draft.key });
    case 'eviction':
      return note(draft, 'debug', 'flow-evicted', { flowId: draft.key });
  }
};

/** What decides over a flow whatever its events were: the maintenance of its virtual node (Corda kills as events arrive), and the end of its hold. */
const overrule = (draft: Draft, facts: Facts): void => {
  const { head } = draft;
  if (head === undefined) return;
  if (hasEnded(head)) return releaseHold(draft);
  const { shortHash } = head.identity;
  if (facts.virtualNode(shortHash)?.flowOperationalStatus !== 'INACTIVE') return;
  killFlow(draft, `virtual node ${shortHash} is in maintenance`);
};

/** Nothing stays of a flow whose virtual node is being deleted. */
const isEvicted = ({ identity }: FlowHead, facts: Facts): boolean => facts.virtualNode(identity.shortHash)?.deleting === true;

const outputOf = (draft: Draft, facts: Facts): StepOutput<FlowHead, JournalItem> => {
  const { head, before, later, added, removed, effects, limits, now } = draft;
  const joint = draft.joint === undefined ? {} : { joint: draft.joint };
  if (later !== undefined) return { type: 'later', reason: later };
  if (head === undefined) return { type: 'next', head, effects };
  if (hasEnded(head) && isEvicted(head, facts)) return { type: 'next', head: null, effects, ...joint };
  if (hasEnded(head) && !isOnHold(head) && now >= removedAt(head, keptMsOf(head, limits))) return { type: 'next', head: null, effects, ...joint };
  if (head === before) return { type: 'next', head: undefined, effects };
  const dueAt = dueAtOf(head, { keepMs: keptMsOf(head, limits), silenceAt: (session) => silenceAt(session, limits.sessionTimeoutMs) });
  return {
    type: 'next',
    head,
    itemsAdded: added,
    ...(removed.length === 0 ? {} : { itemsRemoved: removed }),
    effects,
    scope: head.identity.shortHash,
    status: head.status,
    ...(dueAt === undefined ? {} : { dueAt }),
    ...joint,
    rests: hasEnded(head) && head.resume === undefined,
  };
};
