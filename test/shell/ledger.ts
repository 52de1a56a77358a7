/**
 * A machine whose end does not depend on how its records were cut into batches, nor on how two topics were interleaved: each
 * topic has a list of its own. Any run that loses, doubles or reorders something ends differently.
 */
import * as z from 'zod';
import { deriveId } from '../../src/identity/derive.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import type { Machine, StepInput, StepOutput, StoredItem } from '../../src/shell/worker.ts';

const room = { from: ['rest'], to: ['flow'], key: 'any', retention: 'log', version: 1 } as const;
const does = z.enum(['add', 'item', 'cut', 'echo', 'nothing', 'sleep', 'poison', 'throw', 'ask', 'answer', 'open', 'shut']);
const body = z.object({ does, n: z.number() });
export const leftWire = wire({ ...room, topic: 'test.left', body });
export const rightWire = wire({ ...room, topic: 'test.right', body });
export const wakeWire = wire({ ...room, topic: 'test.wake', body: z.object({ dueAt: z.number() }) });
export const outTopic = 'test.out';
export const outWire = wire({ ...room, topic: outTopic, body: z.object({ what: z.string() }) });

export type Does = z.infer<typeof does>;
export type LedgerEvent = { side: 'left' | 'right' | 'wake'; id: string; does: Does | 'wake'; n: number };
export type LedgerHead = { left: string[]; right: string[]; items: number; naps: number[]; woken: number[]; asked: string[] };

const empty: LedgerHead = { left: [], right: [], items: 0, naps: [], woken: [], asked: [] };

const say = (key: string, what: string): OutRecord => encode(outWire, { key, id: deriveId('said', key, what), body: { what } });

/** One step of one key, as a pure function; `undefined` where nothing changed. */
type Draft = { head: LedgerHead | null; changed: boolean; effects: OutRecord[]; added: StoredItem<string>[]; cut: number[] };

const add = (draft: Draft, key: string, event: LedgerEvent, head: LedgerHead): void => {
  const side = event.side === 'right' ? 'right' : 'left';
  const list = [...head[side], event.id];
  draft.head = { ...head, [side]: list };
  draft.changed = true;
  draft.effects.push(say(key, `${event.id} is ${side} ${list.length}`));
};

const apply = (draft: Draft, key: string, event: LedgerEvent, items: readonly StoredItem<string>[]): void => {
  const head = draft.head ?? empty;
  switch (event.does) {
    case 'add':
      return add(draft, key, event, head);
    case 'item':
      draft.added.push({ position: head.items, value: event.id });
      draft.head = { ...head, items: head.items + 1 };
      draft.changed = true;
      return;
    case 'cut': {
      const [first] = [...items, ...draft.added].filter(({ position }) => !draft.cut.includes(position));
      if (first === undefined) return void draft.effects.push(say(key, `${event.id} cut nothing`));
      draft.cut.push(first.position);
      draft.head = { ...head };
      draft.changed = true;
      draft.effects.push(say(key, `${event.id} cut ${first.value}`));
      return;
    }
    case 'echo':
      return void draft.effects.push(say(key, `${event.id} echoed`));
    case 'nothing':
      return;
    case 'sleep':
      draft.head = { ...head, naps: [...head.naps, event.n].toSorted((one, other) => one - other) };
      draft.changed = true;
      return;
    case 'wake': {
      if (head.naps[0] !== event.n) return;
      draft.head = { ...head, naps: head.naps.slice(1), woken: [...head.woken, event.n] };
      draft.changed = true;
      draft.effects.push(say(key, `woken for ${event.n}`));
      return;
    }
    // A question is answered by somebody else, who answers at once; an answer nobody waits for is dropped.
    case 'ask':
      draft.head = { ...head, asked: [...head.asked, event.id] };
      draft.changed = true;
      draft.effects.push(encode(rightWire, { key, id: `${event.id}/answer`, body: { does: 'answer', n: event.n } }));
      return;
    case 'answer': {
      const question = event.id.replace(/\/answer$/, '');
      if (!head.asked.includes(question)) return;
      draft.head = { ...head, asked: head.asked.filter((id) => id !== question) };
      draft.changed = true;
      draft.effects.push(say(key, `${question} was answered`));
      return;
    }
    // Opened once; what comes when it is shut is an error that somebody hears.
    case 'open':
      draft.head = { ...head, left: [...head.left, event.id] };
      draft.changed = true;
      return void draft.effects.push(say(key, `${event.id} opened`));
    case 'shut':
      draft.effects.push(say(key, `${event.id} shut ${draft.head === null ? 'nothing' : head.left.join()}`));
      draft.changed = true;
      draft.head = null;
      return;
    case 'poison':
    case 'throw':
      throw new Error('not reached');
  }
};

const stepOne = ({ key, head, items, events }: StepInput<LedgerHead, string, LedgerEvent>): StepOutput<LedgerHead, string> => {
  const poisoned = events.findIndex((event) => event.does === 'poison');
  if (poisoned >= 0) return { type: 'poison', event: poisoned, reason: `poison ${events[poisoned]!.id}` };
  if (events.some((event) => event.does === 'throw')) throw new Error('a bug in the machine');
  const draft: Draft = { head: head ?? null, changed: false, effects: [], added: [], cut: [] };
  for (const event of events) apply(draft, key, event, items ?? []);
  const added = draft.added.filter(({ position }) => !draft.cut.includes(position));
  const removed = draft.cut.filter((position) => !draft.added.some((item) => item.position === position));
  const dueAt = draft.head?.naps[0];
  return {
    type: 'next',
    head: draft.changed ? draft.head : undefined,
    effects: draft.effects,
    itemsAdded: added,
    itemsRemoved: removed,
    ...(dueAt === undefined ? {} : { dueAt }),
    // Now and then, so that every property that is tried is also tried with keys that leave memory.
    rests: (draft.head?.items ?? 0) % 2 === 1,
  };
};

export type LedgerOptions = {
  /** Keys not to be stepped now. */
  readonly isLater?: (key: string) => boolean;
  readonly onStep?: (inputs: readonly StepInput<LedgerHead, string, LedgerEvent>[]) => void;
  readonly forget?: (keys: readonly string[]) => void;
  readonly prepare?: (events: readonly LedgerEvent[]) => Promise<void>;
};

export const createLedger = ({ isLater = () => false, onStep, forget, prepare }: LedgerOptions = {}): Machine<LedgerHead, string, LedgerEvent> => ({
  hearings: [
    { wire: leftWire, toEvent: ({ id, body: { does: what, n } }) => ({ side: 'left', id, does: what, n }) },
    { wire: rightWire, toEvent: ({ id, body: { does: what, n } }) => ({ side: 'right', id, does: what, n }) },
  ],
  wake: { wire: wakeWire, toEvent: (dueAt) => ({ side: 'wake', id: `wake-${dueAt}`, does: 'wake', n: dueAt }) },
  needsItems: (_key, _head, events) => events.some((event) => event.does === 'cut'),
  step: async (inputs) => {
    onStep?.(inputs);
    return inputs.map((input) => (isLater(input.key) ? { type: 'later', reason: 'a view lags' } : stepOne(input)));
  },
  ...(forget === undefined ? {} : { forget }),
  ...(prepare === undefined ? {} : { prepare }),
});

export const record = (side: 'left' | 'right', key: string, id: string, what: Does, n = 0): OutRecord =>
  encode(side === 'left' ? leftWire : rightWire, { key, id, body: { does: what, n } });

/** What was said to the world, each once. */
export const saidIn = (records: readonly { readonly key: string; readonly value: string }[]): string[] =>
  [...new Set(records.map(({ key, value }) => `${key}: ${outWire.body.parse((JSON.parse(value) as { body: unknown }).body).what}`))].toSorted();
