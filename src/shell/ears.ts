/**
 * Rooms of one process tell each other what a saved state owes at once, and not only by way of the bus.
 *
 *     save ──▶ told ──▶ publish ──▶ commit
 *               └─▶ heard now          └─▶ heard again from the bus, by all
 *
 * It saves who waits the time of a write to the bus. Nothing rests on it: what is told is owed by a state that is written (W1), so it comes
 * on the bus whatever becomes of this process (W2), and whoever hears it twice does it once (W3). It is only for ears that lose nothing
 * when they hear something before its turn: answers, which are known by the id of their request, and statuses, which never go back.
 *
 * What an ear has heard need not be read again when the bus brings it:
 *
 * - **H1** a copy is passed over once, and only where its record was told, was of use to who heard it, and has not come since;
 * - **H2** who forgets what it heard (`forget`), or may have missed copies, reads the copies that come.
 *
 * What only one who waits here needs goes no other way:
 *
 * - **H3** a record that an ear claims is neither owed nor published, but told when what decided it is known to be saved. If this process dies
 *   before, who waited for it is gone as well. What comes of a save of which nobody knows is known when the state is read again: where it
 *   bears the mark of that save, what was claimed is told (`saveMark` of `store.ts`).
 */
import { decode } from '../messages/grammar/envelope.ts';
import type { InRecord, OutRecord } from '../messages/grammar/record.ts';
import type { Wire } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import { shellConfigDefault } from './config.ts';

/** Hears a record before it is on the bus. Does not throw. */
export type Hear = (record: OutRecord) => void;

/** Tells one who waits here. Does not throw. */
export type Tell = () => void;

/** One or both. */
export type Listener = {
  readonly hear?: Hear;
  /** H3: how to tell this record to the one who waits for it here, where nobody else needs it. Does not throw. */
  claim?(record: OutRecord): Tell | undefined;
};

/** The ears of one process: a topic's, where a room of it has one. */
export type Ears = ReadonlyMap<string, Listener>;

export const noEars: Ears = new Map();

export type Ear = {
  readonly hear: Hear;
  /** Whether the bus brings what was heard already, and so need not be read (H1). */
  hasHeard(record: InRecord): boolean;
  /** What was heard counts no more: its copies are to be read (H2). */
  forget(): void;
};

export type EarOptions<Body> = {
  readonly wire: Wire<Body, any>;
  /** Whether a record is worth reading, before it is read. */
  readonly heeds: (record: OutRecord) => boolean;
  /** Gives whether it was of use here. Of what was not, the copy is read like any other. */
  readonly hear: (body: Body) => boolean;
  readonly log: Log;
  readonly toldCharsMax?: number;
};

/** The values that were heard and have not come by the bus, oldest first: the bus of a process hands on the very same strings. */
const createTold = (charsMax: number) => {
  const values = new Set<string>();
  let chars = 0;
  const remove = (value: string): boolean => {
    const was = values.delete(value);
    if (was) chars -= value.length;
    return was;
  };
  return {
    add: (value: string): void => {
      if (values.has(value)) return;
      values.add(value);
      chars += value.length;
      if (chars <= charsMax) return;
      // An eighth at once: to find the oldest, a set steps over all that were removed before it.
      for (const oldest of values) {
        if (chars <= charsMax - (charsMax >> 3)) return;
        remove(oldest);
      }
    },
    remove,
    clear: (): void => {
      values.clear();
      chars = 0;
    },
  };
};

export const createEar = <Body>({ wire, heeds, hear, log, toldCharsMax = shellConfigDefault.toldCharsMax }: EarOptions<Body>): Ear => {
  const told = createTold(toldCharsMax);
  return {
    hear: (record) => {
      if (!heeds(record)) return;
      try {
        const decoded = decode(wire, record);
        // What cannot be read is reported when the bus brings it, with the place where it lies.
        if (decoded.type === 'message' && hear(decoded.delivery.body)) told.add(record.value);
      } catch (error) {
        // Whoever tells has saved a state and goes on to publish what it owes: a fault of this room is none of its own.
        log.error('ear-threw', { topic: record.topic, error });
      }
    },
    hasHeard: ({ value }) => told.remove(value),
    forget: told.clear,
  };
};
