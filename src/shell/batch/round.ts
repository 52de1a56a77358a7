/**
 * One round of a machine's batch: ready keys are taken, read and stepped (`takeRound`), then saved and sent (`saveRound`, `sendRound`), once.
 * `machine-batch.ts` states why nothing is lost; the numbers M1–M7 are from there.
 *
 * Several rounds may be under way, each with keys of its own: a lane is given back when its effects are on the bus (M4), or when
 * nothing of it was saved. Nothing in memory changes before its write has succeeded. A round that throws leaves its lanes as they were
 * and they may simply be taken again; effects that are owed by then wait in the outbox, and their lanes with them.
 */
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Clock } from '../../host/clock.ts';
import type { Log } from '../../observability/log.ts';
import { backOffMs, type ShellLimits } from '../config.ts';
import type { Ears, Tell } from '../ears.ts';
import { settled } from './early.ts';
import { fairShare } from './fair-share.ts';
import { isOperational, messageOf, type Probe } from '../operational.ts';
import { saveMark, type StateChange, type StateStore } from '../store.ts';
import type { Joint, Machine, StepOutput } from '../worker.ts';
import type { HeadCache, Held } from './head-cache.ts';
import { forgive, type Lane, type Lanes, type Queued } from './lanes.ts';
import type { ShellMetrics } from './metrics.ts';
import type { Offsets } from './offsets.ts';
import type { Outbox } from './outbox.ts';
import type { Parking } from './parking.ts';
import { reasonOf, selectWork, stepWorks, type Verdict, type Work } from './step.ts';

export type SavedDueAt = { readonly key: string; readonly dueAt: number | null };

export type RoundOptions = {
  readonly machine: Machine<any, any, any>;
  readonly states: StateStore;
  readonly cache: HeadCache;
  readonly lanes: Lanes;
  readonly offsets: Offsets;
  readonly outbox: Outbox;
  readonly ears: Ears;
  readonly parking: Parking;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ShellMetrics;
  readonly limits: ShellLimits;
  readonly random: () => number;
  readonly probe: Probe | undefined;
  /** Told of every saved key, so that timers can be set. */
  readonly onSaved: ((saved: readonly SavedDueAt[]) => void) | undefined;
};

type Next = Extract<StepOutput<unknown, unknown>, { type: 'next' }>;
type Judged = { readonly work: Work; readonly verdict: Verdict };
type Changed = { readonly work: Work; readonly output: Next; readonly change: StateChange };

/**
 * `null` is a change even where no key is: it may be the sum of a birth and a removal in one batch, and without its tombstone
 * a zombie that has seen only the birth would save it afterwards (M7).
 */
const isChange = ({ verdict }: Judged): boolean => verdict.type === 'next' && verdict.head !== undefined;

const consumedOf = ({ dropped, takes }: Work): Queued[] => [...dropped, ...takes];

const handledAfter = (held: Held, consumed: readonly Queued[]): Record<string, number> => {
  const handled = { ...held.handled };
  for (const { stream, record, unsaid } of consumed) {
    handled[stream] = Math.max(handled[stream] ?? -1, record.offset);
    if (unsaid !== undefined) handled[saveMark] = unsaid.mark;
  }
  return handled;
};

/** M2: what was owed before and is not known to be on the bus stays owed, ahead of what this step owes. */
const owedAfter = (held: Held, effects: readonly OutRecord[]): readonly OutRecord[] =>
  held.owed.length === 0 ? effects : [...held.owed, ...effects];

const changeOf = (work: Work, output: Next): StateChange => {
  const { held } = work;
  const removed = output.head === null;
  return {
    key: held.key,
    versionBefore: held.version,
    head: output.head,
    handled: handledAfter(held, consumedOf(work)),
    owed: owedAfter(held, output.effects),
    itemsAdded: removed ? [] : (output.itemsAdded ?? []),
    itemsRemoved: removed ? [] : (output.itemsRemoved ?? []),
    dueAt: removed ? null : (output.dueAt ?? null),
    scope: removed ? null : (output.scope ?? null),
    status: removed ? null : (output.status ?? null),
    rests: removed || output.rests === true,
  };
};

/** Saves all at once; if the store cannot take one of them, one at a time, so that the fault falls on its own key (W5). */
const saveChanges = async (options: RoundOptions, changes: readonly StateChange[]): Promise<{ saved: ReadonlySet<string>; faults: ReadonlyMap<string, unknown> }> => {
  if (changes.length === 0) return { saved: new Set(), faults: new Map() };
  try {
    return { saved: await options.metrics.timed('save', () => options.states.save(changes)), faults: new Map() };
  } catch (error) {
    if (isOperational(error)) throw error;
    options.log.error('save-threw', { keys: changes.length, first: changes[0]!.key, error });
    if (changes.length === 1) return { saved: new Set(), faults: new Map([[changes[0]!.key, error]]) };
  }
  const saved = new Set<string>();
  const faults = new Map<string, unknown>();
  for (const change of changes) {
    const one = await saveChanges(options, [change]);
    for (const key of one.saved) saved.add(key);
    for (const [key, fault] of one.faults) faults.set(key, fault);
  }
  return { saved, faults };
};

/** What is to be saved with work of another room, by that work. */
const byJoint = (changed: readonly Changed[]): ReadonlyMap<Joint, readonly StateChange[]> => {
  const groups = new Map<Joint, StateChange[]>();
  for (const { output: { joint }, change } of changed) {
    if (joint === undefined) continue;
    const group = groups.get(joint);
    if (group === undefined) groups.set(joint, [change]);
    else group.push(change);
  }
  return groups;
};

/** The keys, where the work was done; none, and they conflict, where it was not. */
const saveJoint = async ({ states, metrics, log }: RoundOptions, { work, ended }: Joint, changes: readonly StateChange[]): Promise<readonly string[]> => {
  let isDone = false;
  try {
    isDone = await metrics.timed('save', () => states.saveWith!(changes, work));
  } catch (error) {
    if (isOperational(error)) throw error;
    // Stepped again without such work (`isAgain`), each finds its own fault (W5).
    log.error('save-threw', { keys: changes.length, first: changes[0]!.key, error });
  }
  ended(isDone);
  return isDone ? changes.map(({ key }) => key) : [];
};

const saveAll = async (options: RoundOptions, changed: readonly Changed[]): Promise<{ saved: ReadonlySet<string>; faults: ReadonlyMap<string, unknown> }> => {
  const alone = saveChanges(options, changed.flatMap(({ output, change }) => (output.joint === undefined ? [change] : [])));
  const joint = [...byJoint(changed)].map(([one, changes]) => saveJoint(options, one, changes));
  // All have ended before a fault of one is thrown, as below.
  await Promise.allSettled([alone, ...joint]);
  const { saved, faults } = await alone;
  return { saved: new Set([...saved, ...(await Promise.all(joint)).flat()]), faults };
};

/** M5: keys whose head in memory is not what the store holds: what was decided on it is void. */
const findStale = async ({ states, metrics }: RoundOptions, works: readonly Work[]): Promise<ReadonlySet<string>> => {
  if (works.length === 0) return new Set();
  const loaded = await metrics.timed('load', () => states.load(works.map(({ held }) => held.key)));
  const versions = new Map(loaded.map(({ key, version }) => [key, version]));
  return new Set(works.filter(({ held }) => (versions.get(held.key) ?? 0) !== held.version).map(({ held }) => held.key));
};

const finish = ({ lanes, offsets }: RoundOptions, lane: Lane, done: readonly Queued[]): void => {
  for (const { record } of done) offsets.done(record);
  lanes.remove(lane, new Set(done));
};

/** What a round leaves behind when its effects are on the bus. */
type Ending = { readonly records: OutRecord[]; readonly tells: Tell[]; readonly works: { readonly work: Work; readonly version: number; readonly rests: boolean }[] };

/** M1, M4: the records of this work are done, and its key free for another round, once these effects are acknowledged. */
const endWith = (ending: Ending, work: Work, records: readonly OutRecord[], rests = false): void => {
  for (const record of records) ending.records.push(record);
  for (const { unsaid } of work.takes) if (unsaid !== undefined) ending.tells.push(...unsaid.tells);
  ending.works.push({ work, version: work.held.version, rests });
};

const withFleeting = (owed: readonly OutRecord[], { fleeting }: Pick<Next, 'fleeting'>): readonly OutRecord[] =>
  fleeting === undefined || fleeting.length === 0 ? owed : [...owed, ...fleeting];

const sendEnding = (options: RoundOptions, { records, tells, works }: Ending): void => {
  const end = (): void => {
    for (const { work, version, rests } of works) {
      options.cache.settle(work.held, version);
      work.lane.taken = false;
      finish(options, work.lane, consumedOf(work));
      if (rests && work.lane.queue.length === 0) options.cache.rest(work.held);
    }
  };
  for (const tell of tells) tell();
  if (records.length === 0) return end();
  options.outbox.add(records, end);
  for (const record of records) options.ears.get(record.topic)?.hear?.(record);
};

const applySaved = (options: RoundOptions, ending: Ending, { work, output, change }: Changed): void => {
  const { held, lane } = work;
  held.version = change.versionBefore + 1;
  held.head = output.head ?? undefined;
  held.handled = { ...change.handled };
  held.owed = change.owed;
  held.dueAt = change.dueAt;
  held.scope = change.scope;
  options.cache.keep(held);
  forgive(lane);
  endWith(ending, work, withFleeting(change.owed, output), output.rests);
  if (output.head === null) options.machine.forget?.([held.key]);
};

const applyUnchanged = (ending: Ending, work: Work, output: Pick<Next, 'effects' | 'fleeting'>): void => {
  const { held, lane } = work;
  held.handled = handledAfter(held, consumedOf(work));
  forgive(lane);
  endWith(ending, work, withFleeting(owedAfter(held, output.effects), output));
};

/** Tries the key again later; true when its time is over and its records are to be parked. */
const postpone = ({ clock, limits, random }: RoundOptions, lane: Lane): boolean => {
  const now = clock.now();
  lane.refusedSince ??= now;
  if (now - lane.refusedSince >= limits.laterWindowMs) return true;
  lane.waitUntil = now + backOffMs(lane.refusals++, limits.laterDelayMsMin, limits.laterDelayMsMax, random);
  return false;
};

type Refused = { readonly queued: Queued; readonly reason: string };
type Refusal = { readonly work: Work; readonly list: readonly Refused[] };

/** W5: another replica had written this key; its state is read anew, and the key stepped again. */
const applyConflict = (options: RoundOptions, { lane, held }: Work): readonly Refused[] => {
  options.cache.drop([held.key]);
  options.machine.forget?.([held.key]);
  options.metrics.count('conflict', lane.queue[0]!.record.topic);
  lane.again = true;
  if (++lane.conflicts <= options.limits.conflictTriesMax) return [];
  if (!postpone(options, lane)) return [];
  return lane.queue.map((queued) => ({ queued, reason: `for ${options.limits.laterWindowMs} ms other replicas kept changing this key` }));
};

/** Which records are to be parked for this verdict; none when the key is to be tried again. */
const judgeRefusal = (options: RoundOptions, { work, verdict }: Judged): readonly Refused[] => {
  const { lane, takes } = work;
  if (verdict.type === 'poison') {
    const queued = takes[verdict.event];
    return queued === undefined
      ? takes.map((one) => ({ queued: one, reason: `step named event ${verdict.event} of ${takes.length}: ${verdict.reason}` }))
      : [{ queued, reason: verdict.reason }];
  }
  if (verdict.type === 'later') {
    options.metrics.count('later', takes[0]!.record.topic);
    return postpone(options, lane) ? takes.map((queued) => ({ queued, reason: `not within ${options.limits.laterWindowMs} ms: ${verdict.reason}` })) : [];
  }
  if (verdict.type === 'next') return [];
  if (takes.length === 1) return [{ queued: takes[0]!, reason: reasonOf(verdict) }];
  lane.oneByOne = true;
  return [];
};

/** M6: parked for good before anything later can be saved over it or committed. */
const parkRefused = async (options: RoundOptions, refused: readonly Refusal[]): Promise<void> => {
  if (refused.length === 0) return;
  await options.parking.records(refused.flatMap(({ list }) => list.map(({ queued, reason }) => ({ record: queued.record, reason }))));
  for (const { work, list } of refused) {
    // `handled` does not move: records before a parked one may still have to be stepped.
    finish(options, work.lane, list.map(({ queued }) => queued));
    forgive(work.lane);
  }
};

/** H3: what one who waits here claims is not owed. */
const withoutClaimed = ({ ears, random }: RoundOptions, one: Judged): Judged => {
  const { work, verdict } = one;
  for (const queued of work.takes) queued.unsaid = undefined;
  if (verdict.type !== 'next') return one;
  const tells: Tell[] = [];
  const effects = verdict.effects.filter((record) => {
    const tell = ears.get(record.topic)?.claim?.(record);
    if (tell !== undefined) tells.push(tell);
    return tell === undefined;
  });
  if (tells.length === 0) return one;
  work.takes.at(-1)!.unsaid = { mark: Math.floor(random() * Number.MAX_SAFE_INTEGER), tells };
  return { work, verdict: { ...verdict, effects } };
};

/** H3: of a save of which nobody knew, the state that is there now says by its mark whether it was done. */
const tellUnsaid = ({ dropped, held }: Work): void => {
  for (const queued of dropped) {
    const { unsaid } = queued;
    queued.unsaid = undefined;
    if (unsaid === undefined || unsaid.mark !== held.handled[saveMark]) continue;
    for (const tell of unsaid.tells) tell();
  }
};

type Parted = { readonly changed: readonly Changed[]; readonly others: readonly Judged[] };

const part = (judged: readonly Judged[]): Parted => {
  const changed: Changed[] = [];
  const others: Judged[] = [];
  for (const one of judged) {
    const { work, verdict } = one;
    if (isChange(one) && verdict.type === 'next') changed.push({ work, output: verdict, change: changeOf(work, verdict) });
    else others.push(one);
  }
  return { changed, others };
};

/** The store would not take this key's change, alone: the fault is treated as the step's own. */
const applyFault = (options: RoundOptions, work: Work, fault: unknown): readonly Refused[] => {
  options.cache.drop([work.held.key]);
  options.machine.forget?.([work.held.key]);
  return judgeRefusal(options, { work, verdict: { type: 'thrown', error: new Error(`the store refused: ${messageOf(fault)}`) } });
};

type Settled = { readonly saved: ReadonlySet<string>; readonly faults: ReadonlyMap<string, unknown>; readonly stale: ReadonlySet<string> };

const writeRound = async (options: RoundOptions, changed: readonly Changed[], unchanged: readonly Work[]): Promise<Settled> => {
  const saving = saveAll(options, changed);
  const comparing = findStale(options, unchanged.filter(({ fresh }) => !fresh));
  // Both have ended before either's fault is thrown: the next round of these keys must not read while this one still writes.
  await Promise.allSettled([saving, comparing]);
  const { saved, faults } = await saving;
  return { saved, faults, stale: await comparing };
};

const settleRound = async (options: RoundOptions, ending: Ending, { judged, idle }: Stepped): Promise<readonly Refusal[]> => {
  const { changed, others } = part(judged.map((one) => withoutClaimed(options, one)));
  const { saved, faults, stale } = await writeRound(options, changed, [...others.map(({ work }) => work), ...idle]);
  await options.probe?.('saved');

  const refused: Refusal[] = [];
  const refuse = (work: Work, list: readonly Refused[]): void => void (list.length > 0 && refused.push({ work, list }));
  const dueAts: SavedDueAt[] = [];
  for (const one of changed) {
    const { work, change } = one;
    if (saved.has(change.key)) {
      applySaved(options, ending, one);
      dueAts.push({ key: change.key, dueAt: change.dueAt });
    } else if (faults.has(change.key)) refuse(work, applyFault(options, work, faults.get(change.key)));
    else refuse(work, applyConflict(options, work));
  }
  options.onSaved?.(dueAts);
  for (const one of others) {
    const { work, verdict } = one;
    if (stale.has(work.held.key)) refuse(work, applyConflict(options, work));
    else if (verdict.type === 'next') applyUnchanged(ending, work, verdict);
    else refuse(work, judgeRefusal(options, one));
  }
  for (const work of idle) {
    if (stale.has(work.held.key)) refuse(work, applyConflict(options, work));
    else applyUnchanged(ending, work, { effects: [] });
  }
  return refused;
};

const countDropped = (metrics: ShellMetrics, works: readonly Work[]): void => {
  for (const { dropped } of works) {
    for (const { record, wakeDueAt } of dropped) metrics.count(wakeDueAt === undefined ? 'repeat' : 'stale-wake', record.topic);
  }
};

/** Keys that were read and stepped, and are to be saved. */
export type Stepped = { readonly lanes: readonly Lane[]; readonly judged: readonly Judged[]; readonly idle: readonly Work[] };

/** What was saved is unknown, or the machine's memory may be ahead of it: everything is read again. */
const voidRound = ({ cache, machine }: RoundOptions, lanes: readonly Lane[]): void => {
  const keys = lanes.map(({ key }) => key);
  cache.drop(keys);
  machine.forget?.(keys);
  for (const lane of lanes) lane.again = true;
};

const chooseLanes = ({ machine, cache, lanes, clock, limits }: RoundOptions): readonly Lane[] =>
  fairShare(lanes.ready(clock.now()), limits.keysPerRoundMax, ({ key, queue }) => machine.scopeOf?.(queue[0]!.event) ?? cache.scopeOf(key) ?? '');

/**
 * Keys that begin now, by all that the machine can tell: they are not looked for. If one is there all the same, its save conflicts, or
 * what was decided without a save is found stale (M5), and then it is read.
 */
const unbornAmong = ({ machine }: RoundOptions, lanes: readonly Lane[]): ReadonlySet<string> =>
  new Set(lanes.flatMap(({ key, queue, again }) => (!again && machine.isBirth?.(queue[0]!.event) === true ? [key] : [])));

/** Takes ready lanes, reads and steps them; `undefined` when none is ready. Throws only what is operational. */
export const takeRound = async (options: RoundOptions): Promise<Stepped | undefined> => {
  const { cache, metrics, probe } = options;
  const lanes = chooseLanes(options);
  if (lanes.length === 0) return undefined;
  for (const lane of lanes) lane.taken = true;
  try {
    const unborn = unbornAmong(options, lanes);
    const { held, fresh } = await metrics.timed('load', () => cache.hold(lanes.map(({ key }) => key), (key) => unborn.has(key)));
    const works = lanes.map((lane) => selectWork(lane, held.get(lane.key)!, fresh.has(lane.key)));
    works.forEach(tellUnsaid);
    const stepped = works.filter(({ takes }) => takes.length > 0);
    const verdicts = await stepWorks(options, stepped);
    await probe?.('stepped');
    countDropped(metrics, works);
    return { lanes, judged: stepped.map((work, i): Judged => ({ work, verdict: verdicts[i]! })), idle: works.filter(({ takes }) => takes.length === 0) };
  } catch (error) {
    voidRound(options, lanes);
    for (const lane of lanes) lane.taken = false;
    throw error;
  }
};

const isVoid = ({ lane }: Work): boolean => lane.queue.some((queued) => queued.isVoid);

/** E1, E2: what is left when all that was stepped is durable, or is known not to be. */
const settleEarly = async (options: RoundOptions, { lanes, judged, idle }: Stepped): Promise<Stepped> => {
  const works = [...judged.map(({ work }) => work), ...idle];
  await settled(works.flatMap(consumedOf).map(({ record }) => record));
  const voided = works.filter(isVoid).map(({ lane }) => lane);
  if (voided.length === 0) return { lanes, judged, idle };
  voidRound(options, voided);
  for (const lane of voided) options.lanes.sweep(lane);
  const isLeft = (work: Work): boolean => !voided.includes(work.lane);
  return { lanes, judged: judged.filter(({ work }) => isLeft(work)), idle: idle.filter(isLeft) };
};

/** Saves what was stepped. Throws only what is operational. Then `outbox.flush` sends what it owes. */
export const saveRound = async (options: RoundOptions, stepped: Stepped): Promise<void> => {
  const ending: Ending = { records: [], tells: [], works: [] };
  const ends = new Set<Lane>();
  try {
    const refused = await settleRound(options, ending, await settleEarly(options, stepped));
    for (const { work } of ending.works) ends.add(work.lane);
    sendEnding(options, ending);
    await parkRefused(options, refused);
  } catch (error) {
    voidRound(options, stepped.lanes);
    throw error;
  } finally {
    for (const lane of stepped.lanes) if (!ends.has(lane)) lane.taken = false;
  }
};

/** Sends what is owed by all that was saved. Throws only what is operational. */
export const sendRound = async ({ metrics, outbox, probe }: RoundOptions): Promise<void> => {
  await metrics.timed('publish', () => outbox.flush());
  await probe?.('published');
};
