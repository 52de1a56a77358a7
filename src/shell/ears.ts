/**
 * Rooms of one process tell each other what a saved state owes at once, and not only by way of the bus.
 *
 *     save ──▶ told ──▶ publish ──▶ commit
 *               └─▶ heard now          └─▶ heard again from the bus, by all
 *
 * It saves who waits the time of a write to the bus. Nothing rests on it: what is told is owed by a state that is written (W1), so it comes
 * on the bus whatever becomes of this process (W2), and whoever hears it twice does it once (W3). It is only for ears that lose nothing
 * when they hear something before its turn: answers, which are known by the id of their request, and statuses, which never go back.
 */
import type { OutRecord } from '../messages/grammar/record.ts';

/** Hears a record before it is on the bus. Does not throw. */
export type Hear = (record: OutRecord) => void;

/** The ears of one process: a topic's, where a room of it has one. */
export type Ears = ReadonlyMap<string, Hear>;

export const noEars: Ears = new Map();
