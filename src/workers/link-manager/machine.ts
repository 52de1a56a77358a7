/**
 * The link manager as a machine: one key a pair of identities, stepped with all its events at once.
 *
 *     events in order ──▶ on-send, on-link-in, on-answer, on-wake ──▶ settle-up ──▶ state, items, effects
 *
 * Chance enters as `random`, handed in; why drawing inside a step is safe stands in session/session.ts. The messages of a long
 * backlog are read from the store only when those in memory fall short; memory is tied to the head that a step returned, so a
 * head that was read back, or a step that is repeated on the head before it, never sees another step's messages.
 */
import { createBoundedCache } from '../../cipher/bounded-cache.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { ItemRange, Machine, StepInput, StepOutput } from '../../shell/worker.ts';
import {
  backlogOf, closeBacklog, emptyBacklog, fallsShort, hasOutstanding, openBacklog, pageAfter, sweepFrom, windowAfter, type HeldBacklog, type OutboundMessage,
  type PartialMessage,
} from './delivery/delivery.ts';
import type { Pair } from './directory.ts';
import type { Head, LinkEvent } from './head.ts';
import { hearsAnswer, onAnswer } from './on-answer.ts';
import { hearsLinkIn, onLinkIn } from './on-link-in.ts';
import { hearsSend, onSend } from './on-send.ts';
import { hearsWake, onWake } from './on-wake.ts';
import { dueAtOf, settleUp } from './settle-up.ts';
import { withoutForeign } from './session/session.ts';
import { setHead, type Turn, type TurnDeps } from './turn.ts';

export type LinkMachine = Machine<Head, OutboundMessage, LinkEvent>;
type Input = StepInput<Head, OutboundMessage, LinkEvent>;
type Output = StepOutput<Head, OutboundMessage>;
type Wanted = { readonly what: 'window' | 'page'; readonly range: ItemRange };

/** Gives a reason when the event can be handled by nobody, ever. */
const handle = async (turn: Turn, event: LinkEvent): Promise<string | undefined> => {
  switch (event.type) {
    case 'send':
      return onSend(turn, event.message);
    case 'link-in':
      return void (await onLinkIn(turn, event));
    case 'answer':
      return void (await onAnswer(turn, event));
    case 'wake':
      return onWake(turn) as undefined;
  }
};

const openTurn = (deps: TurnDeps, memory: Pick<Turn, 'backlog' | 'page' | 'partial'>, { key, head }: Input, now: number): Turn => ({
  deps, key, now, head, ...memory,
  changed: false, mustSpeak: false, itemsAdded: [], itemsRemoved: [], effects: [], route: undefined,
});

/** Messages that came and went within the step never reach the store. */
const itemsOf = (turn: Turn): Pick<Extract<Output, { type: 'next' }>, 'itemsAdded' | 'itemsRemoved'> => {
  const removed = new Set(turn.itemsRemoved);
  const added = new Set(turn.itemsAdded.map(({ position }) => position));
  return {
    itemsAdded: turn.itemsAdded.filter(({ position }) => !removed.has(position)),
    itemsRemoved: turn.itemsRemoved.filter((position) => !added.has(position)),
  };
};

const outputOf = (turn: Turn, effects: readonly OutRecord[]): Extract<Output, { type: 'next' }> => {
  const { head } = turn;
  if (head === undefined || !turn.changed) return { type: 'next', head: undefined, effects };
  const dueAt = dueAtOf(head, turn);
  return { type: 'next', head, ...itemsOf(turn), effects, ...(dueAt === undefined ? {} : { dueAt }) };
};

/** A key that this process does not have sealed the secrets: those sessions are lost, and are agreed anew. */
const forgetForeign = (turn: Turn): void => {
  const { head } = turn;
  if (head === undefined) return;
  const sessions = withoutForeign(head.sessions, turn.deps.vault.of(turn.key));
  if (sessions === head.sessions) return;
  turn.deps.log.warn('link-manager.sessions-forgotten', {
    tag: turn.key, reason: 'their secrets were sealed by a key that this process does not have',
    remedy: 'after a change of the passphrase, name the old one in CORDAGE_LINK_PASSPHRASE_BEFORE for eight days',
  });
  setHead(turn, { ...head, sessions });
};

const messageOf = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

export const createLinkMachine = (deps: TurnDeps): LinkMachine => {
  const held = new WeakMap<Head, HeldBacklog>();
  /** Messages that came in part, each with the head that its last part left behind. */
  const partials = createBoundedCache<{ readonly head: Head; readonly partial: PartialMessage | undefined }>(deps.limits.partialsMax);

  /** What of the store this step must see: the window where memory falls short, else a page where a look for expired ones goes on. */
  const wantedOf = (head: Head | undefined, events: readonly LinkEvent[]): Wanted | undefined => {
    if (head === undefined || !hasOutstanding(head.outbound)) return undefined;
    const { expiryAt, sent, floor } = head.outbound;
    const known = held.get(head);
    if (fallsShort(known, sent, deps.limits)) return { what: 'window', range: windowAfter(floor, deps.limits) };
    if (known!.complete || expiryAt === null || !events.some((event) => event.type === 'wake' && event.dueAt >= expiryAt)) return undefined;
    return { what: 'page', range: pageAfter(sweepFrom(head.outbound), deps.limits) };
  };

  /** A head without items that was not stepped here has no outstanding ones: else `wantedOf` would have asked. */
  const backlogFor = ({ head, items, events }: Input): Pick<Turn, 'backlog' | 'page'> => {
    const wanted = wantedOf(head, events);
    if (head === undefined || (wanted?.what !== 'window' && held.get(head) === undefined)) return { backlog: openBacklog(emptyBacklog), page: undefined };
    if (wanted?.what === 'window') return { backlog: backlogOf(items ?? [], wanted.range, head.outbound.next), page: undefined };
    return { backlog: openBacklog(held.get(head)!), page: wanted?.what === 'page' ? items : undefined };
  };

  const partialFor = ({ key, head }: Input): PartialMessage | undefined => {
    const known = partials.get(key);
    return known?.head === head ? known?.partial : undefined;
  };

  const remember = ({ key, head, backlog, partial }: Turn): void => {
    if (head === undefined) return;
    held.set(head, closeBacklog(backlog, deps.limits));
    if (partial !== undefined || partials.get(key) !== undefined) partials.set(key, { head, partial });
  };

  const stepKey = async (input: Input, now: number): Promise<Output> => {
    const turn = openTurn(deps, { ...backlogFor(input), partial: partialFor(input) }, input, now);
    forgetForeign(turn);
    let at = 0;
    try {
      for (const event of input.events) {
        const reason = await handle(turn, event);
        if (reason !== undefined) return { type: 'poison', event: at, reason };
        at++;
      }
      await settleUp(turn);
    } catch (error) {
      deps.log.error('link-manager.step-failed', { tag: input.key, event: input.events[at]?.type ?? 'settle-up', error });
      return { type: 'poison', event: Math.min(at, input.events.length - 1), reason: messageOf(error) };
    }
    remember(turn);
    return outputOf(turn, turn.effects);
  };

  const pairsAskedFor = (events: readonly LinkEvent[]): Pair[] => {
    const pairs = new Map<string, Pair>();
    for (const event of events) {
      if (event.type !== 'send') continue;
      const { groupId, source: ours, destination: theirs } = event.message;
      pairs.set(`${groupId}\n${ours}\n${theirs}`, { groupId, ours, theirs });
    }
    return [...pairs.values()];
  };

  return {
    hearings: [hearsSend, hearsLinkIn, hearsAnswer],
    wake: hearsWake,
    prepare: async (events) => {
      const pairs = pairsAskedFor(events);
      const sources = pairs.filter(({ groupId, ours }) => !deps.directory.isHosted(groupId, ours));
      const others = pairs.some((pair) => deps.directory.route(pair).type === 'hold') || events.some(({ type, ...event }) => type === 'link-in' && isHello(event));
      await deps.directory.lookUp({ sources, others });
    },
    needsItems: (_key, head, events) => wantedOf(head, events)?.range ?? false,
    step: (inputs, now) => Promise.all(inputs.map((input) => stepKey(input, now))),
  };
};

/** A hello may come from a member that the view does not show yet. */
const isHello = (event: object): boolean => 'packet' in event && typeof event.packet === 'string' && event.packet.includes('"initiator-hello"');
