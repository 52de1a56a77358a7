/** What goes wrong in a run: crashes, flows that leave memory, records that come twice, late or out of order, or are heard early and lost. */
import type { BatchPoint } from '../../../../src/shell/operational.ts';
import type { OutRecord } from '../../../../src/messages/grammar/record.ts';
import type { Machine, StepOutput } from '../../../../src/shell/worker.ts';
import type { JournalItem } from '../../../../src/workers/flow/engine/journal.ts';
import type { Sandbox } from '../../../../src/workers/flow/worker.ts';
import { createTrustingSandbox } from '../../../../src/workers/flow/worker.ts';
import type { Random } from '../../../simulation/random.ts';
import type { FaultAt, WorldOptions } from '../world/world.ts';

export const batchPoints = ['polled', 'stepped', 'saved', 'published', 'committed'] as const satisfies readonly BatchPoint[];

/** Which operation kinds were asked for or completed by the step next to which a process died, for each point. */
export type Coverage = Map<string, number>;

export type Harm = Pick<WorldOptions, 'sandbox' | 'crashAt' | 'rebalances' | 'route' | 'late' | 'watch' | 'batchMax' | 'shell' | 'directDeclines' | 'loses'>;

/** A flow that waits for its back-off waits no time, so that a run with faults keeps the times of one without. */
const shell = { laterDelayMsMin: 0, laterDelayMsMax: 0 };

export const noHarm: Harm = { sandbox: () => createTrustingSandbox(), shell };

/** Flows are lost now and then, before they are stepped and after. */
const forgetful = (random: Random, probability: number): Sandbox => {
  const sandbox = createTrustingSandbox();
  return {
    ...sandbox,
    run: async (turns) => {
      for (const { flowId, fresh } of turns) if (fresh === undefined && random.chance(probability)) sandbox.forget([flowId]);
      const results = await sandbox.run(turns);
      for (const { flowId } of turns) if (random.chance(probability)) sandbox.forget([flowId]);
      return results;
    },
  };
};

/** Flows are lost once: after this call of the sandbox. */
export const forgetfulOnce = (call: number): Sandbox => {
  const sandbox = createTrustingSandbox();
  let calls = 0;
  return {
    ...sandbox,
    run: async (turns) => {
      const results = await sandbox.run(turns);
      if (++calls === call) sandbox.forget(turns.map(({ flowId }) => flowId));
      return results;
    },
  };
};

// ── Crashes, and beside what they came ───────────────────────────────────────────────────────────────────────────────

/** The kinds of operations that a step's outputs speak of: asked for, or completed. */
const kindsIn = (outputs: readonly StepOutput<unknown, unknown>[], kindOf: (key: string, op: number) => string | undefined): string[] =>
  outputs.flatMap((output) => {
    if (output.type !== 'next') return [];
    // The flow machine's items are those of its journal, and its head names its flow.
    const items = (output.itemsAdded ?? []) as readonly { readonly value: JournalItem }[];
    const { flowId } = (output.head ?? { flowId: '' }) as { flowId: string };
    return items.flatMap(({ value }) => {
      if (value.type === 'message') return ['message kept'];
      const completed = value.type === 'turn' ? kindOf(flowId, value.op) : 'start';
      return [...value.asked.map(({ kind }) => `${kind} asked`), ...(completed === undefined ? [] : [`${completed} completed`])];
    });
  });

/** Kinds of the operations of every flow, in the order of their numbers. */
const createKinds = () => {
  const kinds = new Map<string, string[]>();
  return {
    learn: (outputs: readonly StepOutput<unknown, unknown>[]): void => {
      for (const output of outputs) {
        if (output.type !== 'next' || output.head === undefined || output.head === null) continue;
        const { flowId, operationCount } = output.head as { flowId: string; operationCount: number };
        const own = kinds.get(flowId) ?? [];
        kinds.set(flowId, own);
        const asked = ((output.itemsAdded ?? []) as readonly { readonly value: JournalItem }[]).flatMap(({ value }) => (value.type === 'message' ? [] : value.asked.map(({ kind }) => kind)));
        const numbered = asked.filter((kind) => kind !== 'session.open');
        numbered.forEach((kind, i) => (own[operationCount - numbered.length + i] = kind));
      }
    },
    of: (flowId: string, op: number): string | undefined => kinds.get(flowId)?.[op],
  };
};

type Crashes = Pick<Harm, 'watch' | 'crashAt'>;

/** Lets processes die, or batches break off, where `faultAt` says so, and counts beside which operations that was. */
export const crashes = (faultAt: (room: string, point: BatchPoint) => FaultAt, coverage: Coverage): Crashes => {
  const kinds = createKinds();
  const lastOf = new Map<string, readonly string[]>();
  const diedBefore = new Set<string>();
  const count = (point: BatchPoint, what: readonly string[]): void => {
    for (const kind of new Set(what)) coverage.set(`${point} ${kind}`, (coverage.get(`${point} ${kind}`) ?? 0) + 1);
  };
  return {
    watch: (common, machine: Machine<unknown, unknown, unknown>) => ({
      ...machine,
      step: async (inputs, now) => {
        const outputs = await machine.step(inputs, now);
        kinds.learn(outputs);
        const last = kindsIn(outputs, kinds.of);
        lastOf.set(common, last);
        // A process that died before it stepped has died before this.
        if (diedBefore.delete(common)) count('polled', last);
        return outputs;
      },
    }),
    crashAt: (room, point) => {
      const fault = faultAt(room, point);
      if (fault === true && point === 'polled') diedBefore.add(room);
      if (fault === true && point !== 'polled') count(point, lastOf.get(room) ?? []);
      if (point === 'committed') lastOf.set(room, []);
      return fault;
    },
  };
};

// ── What comes twice, late or out of order ───────────────────────────────────────────────────────────────────────────

/**
 * Everything may come twice, and messages of an open session may overtake each other, which is more than links do: they keep the
 * order of a pair. The first message makes the responder, so nothing overtakes it, nor does an error without a number overtake what
 * it would cut off.
 */
const unruly = (random: Random, probability: number): Pick<Harm, 'route' | 'late'> => {
  const heldBack = new Set<string>();
  const isLate = new Map<OutRecord, boolean>();
  const streamOf = (record: OutRecord): { stream: string; isFirst: boolean; isReset: boolean } | undefined => {
    if (record.topic !== 'all-to-link-manager.send') return undefined;
    const { body } = JSON.parse(record.value) as { body: { payload: string } };
    const { sessionId, sender, seq } = JSON.parse(body.payload) as { sessionId: string; sender: string; seq: number };
    return { stream: `${sessionId}/${sender}`, isFirst: sender === 'initiator' && seq === 1, isReset: seq === Number.MAX_SAFE_INTEGER };
  };
  return {
    route: (record) => {
      const message = streamOf(record);
      const late = message !== undefined && ((!message.isFirst && random.chance(probability)) || (message.isReset && heldBack.has(message.stream)));
      isLate.set(record, late);
      if (late) {
        heldBack.add(message.stream);
        return [];
      }
      return random.chance(probability) ? [record, record] : [record];
    },
    late: (record) => (isLate.get(record) === true || random.chance(probability / 2) ? [record] : []),
  };
};

/** Deaths and faults of one run: enough for several in each of its steps, and it comes to its end. */
const faultsMax = 30;

/** A run's faults, drawn from its seed. */
export const drawHarm = (random: Random, coverage: Coverage): Harm => {
  const level = random.pick([0.05, 0.15, 0.3]);
  let faults = 0;
  const faultAt = (_room: string, point: BatchPoint): FaultAt => {
    if (faults >= faultsMax || !random.chance(level / 2)) return false;
    faults += 1;
    // A commit that fails is the shell's own affair; what comes after it can only be death.
    return point === 'committed' || random.chance(0.7) ? true : 'fault';
  };
  const evicted = random.pick([0, level, 1]);
  const moves = random.pick([0, 0, level]);
  const isDirect = random.chance(0.5);
  const declined = random.pick([0, level]);
  const isEarly = random.chance(0.5);
  const lost = random.pick([0, level]);
  return {
    shell,
    ...crashes(faultAt, coverage),
    rebalances: () => random.chance(moves),
    ...(random.chance(0.7) ? unruly(random, level) : {}),
    sandbox: () => forgetful(random, evicted * 0.5),
    batchMax: random.pick([1, 2, 5, 500]),
    ...(isDirect ? { directDeclines: () => random.chance(declined) } : {}),
    ...(isEarly ? { loses: (count) => (random.chance(lost) ? random.below(count + 1) : count) } : {}),
  };
};
