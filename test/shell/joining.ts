/** Another room, whose work a machine has done with its own saves: the room keeps what was asked of it, and how often. */
import { encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { createMemoryAnswerStore } from '../../src/shell/memory-store.ts';
import type { AnswerStore } from '../../src/shell/store.ts';
import type { Joint, Machine, StepInput } from '../../src/shell/worker.ts';
import { outWire, type LedgerEvent, type LedgerHead } from './ledger.ts';

export const askedTopic = 'test.asked';

export type OtherRoom = {
  /** Ids of the records whose work was done with a save, in that order. */
  readonly done: string[];
  readonly answers: AnswerStore<{ readonly before: readonly string[] }>;
};

/** `meet` is asked when all was written: false, where something is in the way, and what it throws take all of it back. */
export const createOtherRoom = (meet: (ids: readonly string[]) => boolean = () => true): OtherRoom => {
  const done: string[] = [];
  const answers = createMemoryAnswerStore(
    () => ({ before: [...done] }),
    ({ before }) => void done.splice(0, done.length, ...before),
    async (_tx, ids: readonly string[]) => {
      done.push(...ids);
      return meet(ids);
    },
  );
  return { done, answers };
};

type Input = StepInput<LedgerHead, string, LedgerEvent>;
type Ledger = Machine<LedgerHead, string, LedgerEvent>;

export type JoiningOptions = {
  readonly room: OtherRoom;
  /** Keys of one step that are given the same name have their work done together, with their saves; `undefined` asks on the bus. */
  readonly nameOf: (input: Input) => string | undefined;
  readonly ended?: (name: string, isDone: boolean) => void;
};

/** What is asked of the other room on the bus, once it was saved. */
const ask = (key: string, id: string): OutRecord => encode({ ...outWire, topic: askedTopic }, { key, id: `${id}/asked`, body: { what: id } });

const once = (ended: Joint['ended']): Joint['ended'] => {
  let isTold = false;
  return (isDone) => {
    if (isTold) throw new Error('told twice of the end of joint work');
    isTold = true;
    ended(isDone);
  };
};

/** A ledger of which each record that is added asks something of another room. */
export const joining = (ledger: Ledger, { room, nameOf, ended = () => {} }: JoiningOptions): Ledger => ({
  ...ledger,
  step: async (inputs, now) => {
    const outputs = await ledger.step(inputs, now);
    const named = new Map<string, { readonly ids: string[]; readonly joint: Joint }>();
    const joint = (name: string, asked: readonly string[]): Joint => {
      const ids = named.get(name)?.ids ?? [];
      const one = named.get(name) ?? { ids, joint: { work: room.answers.joint!(ids), ended: once((isDone) => ended(name, isDone)) } };
      named.set(name, one);
      ids.push(...asked);
      return one.joint;
    };
    return outputs.map((output, i) => {
      const input = inputs[i]!;
      const ids = input.events.flatMap(({ does, id }) => (does === 'add' ? [id] : []));
      if (output.type !== 'next' || ids.length === 0) return output;
      const name = input.isAgain === true ? undefined : nameOf(input);
      return name === undefined ? { ...output, effects: [...output.effects, ...ids.map((id) => ask(input.key, id))] } : { ...output, joint: joint(name, ids) };
    });
  },
});

/** What was asked on the bus, each once: that room would know a repeat. */
export const askedIn = (records: readonly { readonly topic: string; readonly value: string }[]): string[] =>
  [...new Set(records.flatMap(({ topic, value }) => (topic === askedTopic ? [outWire.body.parse((JSON.parse(value) as { body: unknown }).body).what] : [])))].toSorted();
