/**
 * The link manager as a machine: one key a pair of identities, stepped with all its events at once.
 *
 *     events in order ──▶ on-send, on-link-in, on-answer, on-receipt, on-wake ──▶ settle-up ──▶ state, items, effects
 *
 * Chance enters as `random`, handed in; why drawing inside a step is safe stands in session/session.ts. What stays in memory
 * between steps, and what is read from the store when that falls short, stands in memory.ts.
 */
import type { Machine, StepInput, StepOutput } from '../../shell/worker.ts';
import type { Pair } from './directory.ts';
import { headVersion, type Head, type LinkEvent, type LinkItem } from './head.ts';
import { createMemory } from './memory.ts';
import { hearsAnswer, onAnswer } from './on-answer.ts';
import { hearsLinkIn, onLinkIn } from './on-link-in.ts';
import { hearsReceipt, onReceipt, receiptsRange } from './on-receipt.ts';
import { hearsSend, onSend } from './on-send.ts';
import { hearsUnauthenticated, onUnauthenticated } from './on-unauthenticated.ts';
import { hearsWake, onWake } from './on-wake.ts';
import { dueAtOf, settleUp } from './settle-up.ts';
import { withoutForeign } from './session/session.ts';
import { setHead, type Turn, type TurnDeps } from './turn.ts';

export type LinkMachine = Machine<Head, LinkItem, LinkEvent>;
type Input = StepInput<Head, LinkItem, LinkEvent>;
type Output = StepOutput<Head, LinkItem>;

/** Gives a reason when the event can be handled by nobody, ever. */
const handle = async (turn: Turn, event: LinkEvent, items: Input['items']): Promise<string | undefined> => {
  switch (event.type) {
    case 'send':
      return onSend(turn, event.message);
    case 'link-in':
      return void (await onLinkIn(turn, event));
    case 'unauthenticated':
      return onUnauthenticated(turn, event.message);
    case 'answer':
      return void (await onAnswer(turn, event));
    case 'receipts-asked':
      return void onReceipt(turn, event, items);
    case 'wake':
      return onWake(turn) as undefined;
  }
};

const openTurn = (deps: TurnDeps, memory: Pick<Turn, 'backlog' | 'page' | 'partial'>, { key, head }: Input, now: number): Turn => ({
  deps, key, now, head, ...memory,
  changed: false, mustSpeak: false, itemsAdded: [], itemsRemoved: [], effects: [], packets: [], route: undefined,
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

const outputOf = (turn: Turn): Extract<Output, { type: 'next' }> => {
  const { head, effects, packets } = turn;
  if (head === undefined || !turn.changed) return { type: 'next', head: undefined, effects, fleeting: packets };
  const dueAt = dueAtOf(head, turn);
  return { type: 'next', head, ...itemsOf(turn), effects, fleeting: packets, ...(dueAt === undefined ? {} : { dueAt }) };
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

/** The store may hold what another version wrote, whatever the type says. */
const foreignHead = ({ v }: { readonly v: number }): string =>
  `the state of this pair has version ${v}, this worker reads ${headVersion}: run the version that wrote it, or remove the pair from link_manager.state`;

const messageOf = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

export const createLinkMachine = (deps: TurnDeps): LinkMachine => {
  const memory = createMemory(deps.limits);

  const stepKey = async (input: Input, now: number): Promise<Output> => {
    if (input.head !== undefined && input.head.v !== headVersion) return { type: 'poison', event: 0, reason: foreignHead(input.head) };
    const turn = openTurn(deps, memory.of(input), input, now);
    forgetForeign(turn);
    let at = 0;
    try {
      for (const event of input.events) {
        const reason = await handle(turn, event, input.items);
        if (reason !== undefined) return { type: 'poison', event: at, reason };
        at++;
      }
      await settleUp(turn);
    } catch (error) {
      deps.log.error('link-manager.step-failed', { tag: input.key, event: input.events[at]?.type ?? 'settle-up', error });
      return { type: 'poison', event: Math.min(at, input.events.length - 1), reason: messageOf(error) };
    }
    memory.remember(turn);
    return outputOf(turn);
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
    hearings: [hearsSend, hearsLinkIn, hearsAnswer, hearsReceipt, hearsUnauthenticated],
    wake: hearsWake,
    prepare: async (events) => {
      const pairs = pairsAskedFor(events);
      const sources = pairs.filter(({ groupId, ours }) => !deps.directory.isHosted(groupId, ours));
      const others = pairs.some((pair) => deps.directory.route(pair).type === 'hold') || events.some(({ type, ...event }) => type === 'link-in' && isHello(event));
      await deps.directory.lookUp({ sources, others });
    },
    needsItems: (_key, head, events) => {
      const wanted = memory.wantedOf(head, events);
      const asked = head === undefined ? [] : events.flatMap((event) => (event.type === 'receipts-asked' ? [receiptsRange(head, event)] : []));
      return [...asked, ...(wanted === undefined ? [] : [wanted.range])];
    },
    step: (inputs, now) => Promise.all(inputs.map((input) => stepKey(input, now))),
  };
};

/** A hello may come from a member that the view does not show yet. */
const isHello = (event: object): boolean => 'packet' in event && typeof event.packet === 'string' && event.packet.includes('"initiator-hello"');
