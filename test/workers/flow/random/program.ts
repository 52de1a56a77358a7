/**
 * Random programs for flows, and what a program may contain so that its outcome does not depend on the order in which messages of
 * different sources arrive: nothing is said to a responder that may have ended, every answer is heard before its session is closed,
 * and what runs at once touches different things.
 */
import type { Random } from '../../../simulation/random.ts';
import { nameOf } from '../world/identities.ts';

export type Leaf =
  | { readonly do: 'persist' | 'merge' | 'remove' | 'find' | 'findAll' | 'query' | 'count'; readonly key: string }
  | { readonly do: 'send' | 'ask'; readonly session: number; readonly say: Command }
  | { readonly do: 'hear' | 'close' | 'info'; readonly session: number; /** Of `hear`: how long it waits. */ readonly ms?: number }
  | { readonly do: 'sendAll'; readonly sessions: readonly number[]; readonly say: Command }
  | { readonly do: 'hearAll'; readonly sessions: readonly number[] }
  | { readonly do: 'draw' | 'tick' | 'fail' | 'log' | 'members' | 'sign' | 'signWith' | 'run' | 'myKeys' | 'byKey' | 'group' }
  | { readonly do: 'put'; readonly value: string }
  /** Something within a time. */
  | { readonly do: 'within'; readonly ms: number; readonly leaf: Leaf }
  | { readonly do: 'sleep'; readonly ms: number }
  | { readonly do: 'member'; readonly name: string }
  | { readonly do: 'askInside'; readonly to: string; readonly say: Command; readonly fails: boolean }
  | { readonly do: 'storeInside'; readonly under: string; readonly fails: boolean };

/** What a responder is told to do. */
export type Command =
  | { readonly say: 'echo' | 'twice' | 'mute' | 'stop' | 'throw'; /** Makes the message long. */ readonly pad?: string }
  | { readonly say: 'do'; readonly leaf: Leaf }
  | { readonly say: 'relay'; readonly to: string; readonly pass: Command };

export type Step =
  | Leaf
  | { readonly do: 'open'; readonly to: string; readonly protocol?: { readonly name: string; readonly versions: readonly number[] }; readonly requireClose?: boolean }
  | { readonly do: 'all' | 'settled' | 'race' | 'any'; readonly parts: readonly Leaf[] }
  | { readonly do: 'stray'; readonly part: Leaf };

export type Program = {
  readonly steps: readonly Step[];
  readonly throws: boolean;
  /** What the flow continues as. */
  readonly next?: Program;
};

export const parties = ['Alice', 'Bob', 'Carol'] as const;
export type Party = (typeof parties)[number];

/** Milliseconds of silence after which a session fails in these worlds. No sum of whole seconds comes near it. */
export const sessionTimeoutMs = 4_700;

/** A session as the program sees it: what it may still do there. */
type Talk = { readonly index: number; state: 'new' | 'open' | 'ending' | 'over'; owed: number };
type Author = { readonly random: Random; readonly me: Party; readonly talks: Talk[]; readonly steps: Step[]; keys: number };

const keys = ['a', 'b', 'c'] as const;

const otherThan = ({ random, me }: Author): Party => random.pick(parties.filter((party) => party !== me));

const vaultLeaf = (random: Random, key: string): Leaf => ({ do: random.pick(['persist', 'merge', 'remove', 'find', 'findAll', 'query', 'count'] as const), key });

/** An operation that a responder can do as well: it needs no session. */
const lonelyLeaf = ({ random }: Author, key: string = random.pick(keys)): Leaf => {
  const choice = random.below(10);
  if (choice < 4) return vaultLeaf(random, key);
  if (choice === 4) return { do: 'sleep', ms: 1_000 * (1 + random.below(2)) };
  if (choice === 5) return { do: 'member', name: random.chance(0.7) ? nameOf(random.pick(parties)) : 'nobody' };
  if (choice === 6) return { do: 'storeInside', under: key, fails: random.chance(0.3) };
  if (choice === 7) return { do: 'put', value: key };
  return { do: random.pick(['draw', 'tick', 'fail', 'log', 'members', 'sign', 'signWith', 'run', 'run', 'myKeys', 'byKey', 'group'] as const) };
};

/** A value that travels in pieces: its quotes are quoted again on the wire. */
const longPad = '"'.repeat(200_000);

/** A command that is answered once. */
const answered = (author: Author, to: Party): Command => {
  const { random, me } = author;
  const choice = random.below(6);
  if (choice < 3) return random.chance(0.003) ? { say: 'echo', pad: longPad } : { say: 'echo' };
  if (choice < 5) return { say: 'do', leaf: lonelyLeaf(author) };
  return { say: 'relay', to: nameOf(parties.find((party) => party !== me && party !== to)!), pass: { say: random.pick(['echo', 'throw', 'stop'] as const) } };
};

const openTalk = (author: Author): Talk => {
  const { random, talks, steps } = author;
  const index = talks.length;
  const choice = random.below(12);
  const to = choice === 0 ? 'CN=Eve, O=Eve, L=London, C=GB' : nameOf(otherThan(author));
  const protocol = choice === 1 ? { name: 'random.none', versions: [1] } : choice === 2 ? { name: 'random.talk', versions: [7] } : undefined;
  const requireClose = random.chance(0.2);
  steps.push({ do: 'open', to, ...(requireClose ? { requireClose } : {}), ...(random.chance(0.2) && choice > 2 ? { protocol: { name: 'random.talk', versions: [1] } } : protocol === undefined ? {} : { protocol }) });
  // Who cannot be reached, or refuses, is known by the first question.
  const talk: Talk = { index, state: choice === 0 || protocol !== undefined ? 'ending' : 'new', owed: 0 };
  talks.push(talk);
  if (talk.state === 'ending') {
    steps.push({ do: 'ask', session: index, say: { say: 'echo' } });
    if (choice !== 0) talk.state = 'over';
    else talk.state = 'new';
  }
  return talk;
};

/** Milliseconds for which nothing comes. Not many of them make whole seconds, or the silence that ends a session. */
const briefMs = 310;

/** One thing that may be said or heard on a session now. */
const talkLeaf = (author: Author, talk: Talk): Leaf => {
  const { random } = author;
  const { index: session } = talk;
  const to = author.me === 'Bob' ? 'Carol' : 'Bob';
  if (talk.state === 'ending') {
    if (talk.owed > 0) talk.owed -= 1;
    else talk.state = 'over';
    return { do: 'hear', session };
  }
  if (talk.state === 'over') return random.pick<Leaf>([{ do: 'hear', session }, { do: 'send', session, say: { say: 'mute' } }, { do: 'close', session }]);
  if (talk.owed > 0 && random.chance(0.6)) {
    talk.owed -= 1;
    return { do: 'hear', session };
  }
  const choice = random.below(12);
  if (choice === 0 && talk.owed === 0) {
    talk.state = 'over';
    return { do: 'close', session };
  }
  if (choice === 1 && talk.state === 'open' && talk.owed === 0) {
    talk.state = 'over';
    // Nothing is owed, so this ends in silence.
    return { do: 'hear', session };
  }
  talk.state = 'open';
  if (random.chance(0.1)) return { do: 'info', session };
  if (talk.owed === 0 && random.chance(0.1)) return random.chance(0.5) ? { do: 'hear', session, ms: briefMs } : { do: 'within', ms: briefMs, leaf: { do: 'hear', session } };
  if (choice === 2) {
    talk.state = 'ending';
    return { do: 'send', session, say: { say: random.pick(['stop', 'throw'] as const) } };
  }
  if (choice === 3) {
    talk.owed += 2;
    return { do: 'send', session, say: { say: 'twice' } };
  }
  if (choice === 4) return { do: 'send', session, say: { say: 'mute' } };
  if (choice < 8) {
    talk.owed += 1;
    return { do: 'send', session, say: answered(author, to) };
  }
  // With answers outstanding, the one that comes is an older one.
  return { do: 'ask', session, say: answered(author, to) };
};

const insideLeaf = (author: Author): Leaf => {
  const to = otherThan(author);
  return { do: 'askInside', to: nameOf(to), say: author.random.chance(0.2) ? { say: author.random.pick(['stop', 'throw'] as const) } : answered(author, to), fails: author.random.chance(0.3) };
};

/** One value to every session that is open, and an answer of each, in one operation each way. */
const addMany = (author: Author): void => {
  const { talks, steps, random } = author;
  if (talks.length < 2) openTalk(author);
  const open = talks.filter(({ state }) => state === 'new' || state === 'open');
  if (open.length === 0) return void steps.push({ do: 'group' });
  for (const talk of open) talk.state = 'open';
  const sessions = open.map(({ index }) => index);
  steps.push({ do: 'sendAll', sessions, say: { say: 'echo' } });
  if (random.chance(0.7)) return void steps.push({ do: 'hearAll', sessions });
  for (const talk of open) talk.owed += 1;
};

/** Work that is done in time, or is not. */
const deadlineLeaf = (author: Author): Leaf => {
  const quick = author.random.chance(0.5);
  return { do: 'within', ms: 1_500, leaf: quick ? author.random.pick<Leaf>([{ do: 'find', key: 'a' }, { do: 'sleep', ms: 1_000 }, { do: 'fail' }]) : { do: 'sleep', ms: 5_000 } };
};

/** Things that run at once: each session in at most one of them, and keys that no other part touches. */
const groupParts = (author: Author): Leaf[] => {
  const { random, talks } = author;
  const free = talks.filter(() => random.chance(0.6));
  const parts = free.map((talk) => talkLeaf(author, talk));
  for (let count = random.below(3); count > 0; count--) parts.push(lonelyLeaf(author, `p${author.keys++}`));
  if (random.chance(0.3)) parts.push(insideLeaf(author));
  return parts.length > 0 ? parts : [{ do: 'members' }];
};

/** A race whose winner is certain: what is answered at once, against sleep. */
const race = (author: Author): Step => {
  const { random } = author;
  const quick: Leaf = random.pick<Leaf>([{ do: 'find', key: 'a' }, { do: 'members' }, { do: 'sign' }, { do: 'merge', key: 'b' }]);
  const slow: Leaf = { do: 'sleep', ms: 1_000 + 1_000 * random.below(2) };
  if (random.chance(0.5)) return { do: 'race', parts: random.chance(0.5) ? [slow, quick] : [quick, slow] };
  return { do: 'any', parts: [{ do: 'fail' }, { do: 'signWith' }, slow, quick] };
};

const addStep = (author: Author): void => {
  const { random, talks, steps } = author;
  const choice = random.below(20);
  if (choice < 3 && talks.length < 4) return void openTalk(author);
  if (choice < 10) return void steps.push(talkLeaf(author, talks.length === 0 ? openTalk(author) : random.pick(talks)));
  if (choice === 10) return void steps.push({ do: random.pick(['all', 'all', 'settled'] as const), parts: groupParts(author) });
  if (choice === 11) return void steps.push(race(author));
  if (choice === 12) return void steps.push({ do: 'stray', part: vaultLeaf(random, random.pick(keys)) });
  if (choice < 15) return void steps.push(insideLeaf(author));
  if (choice === 15) return addMany(author);
  if (choice === 16) return void steps.push(deadlineLeaf(author));
  steps.push(lonelyLeaf(author));
};

export const drawProgram = (random: Random, me: Party): Program => {
  const author: Author = { random, me, talks: [], steps: [], keys: 0 };
  for (let count = 1 + random.below(9); count > 0; count--) addStep(author);
  for (const { index, owed, state } of author.talks) {
    // Of a session that its responder ends, the end is heard as well: a close that waits would meet it, or not.
    for (let left = owed + (state === 'ending' ? 1 : 0); left > 0; left--) author.steps.push({ do: 'hear', session: index });
  }
  const program = { steps: author.steps, throws: random.chance(0.2) };
  // A flow with open sessions does not continue as another.
  return author.talks.length === 0 && random.chance(0.5) ? { ...program, next: drawProgram(random, me) } : program;
};

/** A program that performs every kind of operation, alone and at once, with both its counterparties. */
export const everyOperation: Program = {
  steps: [
    ...(['persist', 'persist', 'merge', 'find', 'findAll', 'query', 'remove', 'find'] as const).map((what): Leaf => ({ do: what, key: 'a' })),
    { do: 'open', to: nameOf('Bob') },
    { do: 'open', to: nameOf('Carol'), protocol: { name: 'random.talk', versions: [1] } },
    { do: 'send', session: 0, say: { say: 'twice' } },
    { do: 'hear', session: 0 },
    { do: 'ask', session: 1, say: { say: 'relay', to: nameOf('Bob'), pass: { say: 'echo' } } },
    { do: 'all', parts: [{ do: 'hear', session: 0 }, { do: 'ask', session: 1, say: { say: 'do', leaf: { do: 'sign' } } }, { do: 'persist', key: 'p' }] },
    { do: 'draw' },
    { do: 'sign' },
    { do: 'signWith' },
    { do: 'members' },
    { do: 'member', name: nameOf('Bob') },
    { do: 'sleep', ms: 1_000 },
    { do: 'race', parts: [{ do: 'sleep', ms: 2_000 }, { do: 'find', key: 'p' }] },
    { do: 'any', parts: [{ do: 'fail' }, { do: 'signWith' }, { do: 'members' }] },
    { do: 'askInside', to: nameOf('Bob'), say: { say: 'echo' }, fails: false },
    { do: 'askInside', to: nameOf('Carol'), say: { say: 'do', leaf: { do: 'sleep', ms: 1_000 } }, fails: true },
    { do: 'storeInside', under: 's', fails: true },
    ...(['run', 'myKeys', 'byKey', 'group'] as const).map((what): Leaf => ({ do: what })),
    { do: 'put', value: 'x' },
    { do: 'count', key: 'a' },
    { do: 'open', to: nameOf('Bob'), requireClose: true },
    { do: 'info', session: 2 },
    { do: 'sendAll', sessions: [0, 2], say: { say: 'echo' } },
    { do: 'within', ms: 300, leaf: { do: 'sleep', ms: 1_000 } },
    { do: 'hearAll', sessions: [0, 2] },
    { do: 'hear', session: 2, ms: briefMs },
    { do: 'close', session: 2 },
    { do: 'send', session: 1, say: { say: 'throw' } },
    { do: 'hear', session: 1 },
    { do: 'close', session: 0 },
    { do: 'hear', session: 0 },
  ],
  throws: false,
  next: { steps: [{ do: 'find', key: 'p' }, { do: 'draw' }, { do: 'askInside', to: nameOf('Bob'), say: { say: 'echo' }, fails: false }], throws: false },
};
