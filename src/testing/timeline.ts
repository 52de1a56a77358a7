/** A journal as a timeline: what happened to a flow, in the order in which the flow saw it, and what it waits for. */
import type { FlowInspection } from '../messages/rest-to-flow.query.ts';
import { completionOf, messagesOf, type Stored } from '../workers/flow/engine/journal.ts';

/** A flow, and the items of its journal in their order. */
export type FlowJournal = { readonly flow: FlowInspection; readonly items: readonly Stored[] };

export type TimelineEntry = {
  /** Milliseconds since the epoch; of what arrived before the flow wanted it, nobody has written the time down. */
  readonly at?: number;
  readonly type: 'started' | 'asked' | 'opened' | 'answered' | 'refused' | 'arrived' | 'ended' | 'waits';
  /** Number of the operation. */
  readonly op?: number;
  readonly kind?: string;
  readonly text: string;
  /** Milliseconds from asking to being answered. */
  readonly tookMs?: number;
};

type Asked = { readonly kind: string; readonly at: number };

/** Notes of the journal that are no operations: they have no number. */
const unnumbered = new Set(['session.open', 'cancel']);

const startText = (value: Extract<Stored['value'], { type: 'start' }>): string =>
  value.start.type === 'input' ? value.start.json : `session with ${value.start.counterparty}, protocol version ${value.start.protocolVersion}`;

const isoTime = (ms: number): string => new Date(ms).toISOString();

const waitText = (pending: FlowInspection['pending'][number], { sessions }: FlowInspection): string => {
  const nameOf = (id: unknown): string => sessions.find((session) => session.id === id)?.counterparty ?? String(id);
  const { type, sessionId, sessionIds, until, kind, againAt, tries } = pending;
  const whose = Array.isArray(sessionIds) ? sessionIds.map(nameOf).join(' and ') : nameOf(sessionId);
  const limit = typeof until === 'number' ? `, until ${isoTime(until)} at the latest` : '';
  switch (type) {
    case 'sleep':
      return `the end of its sleep at ${isoTime(Number(until))}`;
    case 'external':
      return `the answer to ${String(kind)}, asked ${Number(tries ?? 0) + 1} times, next at ${isoTime(Number(againAt))}`;
    case 'receive':
    case 'receiveAll':
      return `a message from ${whose}${limit}`;
    case 'info':
      return `the protocol version that ${whose} agrees to`;
    case 'close':
      return `the close of ${whose}`;
    default:
      return type;
  }
};

const endText = ({ status, errorAt }: FlowInspection): string => {
  const { flowStatus, flowResult, flowError } = status;
  if (flowError === null) return `${flowStatus}${flowResult === null ? '' : ` ${flowResult}`}`;
  return [`${flowStatus} ${flowError.type}: ${flowError.message}`, ...errorAt.map((place) => `at ${place}`)].join('\n                           ');
};

/** Reads the items in their order, giving each operation its number. */
export const timelineOf = ({ flow, items }: FlowJournal): TimelineEntry[] => {
  const entries: TimelineEntry[] = [];
  const messages = messagesOf(items);
  const asked = new Map<number, Asked>();
  let next = 0;
  const ask = (at: number, list: readonly { readonly kind: string; readonly sketch: string }[]): void => {
    for (const { kind, sketch } of list) {
      if (unnumbered.has(kind)) {
        entries.push({ at, type: 'opened', kind, text: sketch });
        continue;
      }
      asked.set(next, { kind, at });
      entries.push({ at, type: 'asked', op: next++, kind, text: sketch });
    }
  };
  for (const { value } of items) {
    if (value.type === 'start') {
      // A flow that continues as another goes on counting.
      next = value.start.type === 'input' ? (value.start.counters?.operations ?? 0) : 0;
      entries.push({ at: value.at, type: 'started', text: startText(value) });
      ask(value.at, value.asked);
    } else if (value.type === 'turn') {
      const { at, op, outcome } = value;
      const completion = completionOf(op, outcome, messages);
      const question = asked.get(op);
      const told = { at, op, ...(question === undefined ? {} : { kind: question.kind, tookMs: at - question.at }) };
      if (completion?.type === 'refused') entries.push({ ...told, type: 'refused', text: `${completion.code}: ${completion.message}` });
      else entries.push({ ...told, type: 'answered', text: completion?.json ?? 'an answer that the journal lacks' });
      ask(at, value.asked);
    } else {
      const { sessionId, seq } = value;
      const session = flow.sessions.find(({ id }) => id === sessionId);
      entries.push({ type: 'arrived', text: `message ${seq} from ${session?.counterparty ?? sessionId}` });
    }
  }
  if (flow.status.flowStatus !== 'RUNNING') entries.push({ at: flow.updatedAt, type: 'ended', text: endText(flow) });
  else for (const pending of flow.pending) entries.push({ type: 'waits', op: pending.op, text: waitText(pending, flow) });
  return entries;
};

// ── For people ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** UTF-16 code units of a value that a line shows. */
const shownCharsMax = 160;

/** An error is shown whole, with its lines: it says where it comes from. */
const abbreviated = ({ type, text }: TimelineEntry): string => {
  if (type === 'ended' || text.length <= shownCharsMax) return text;
  return `${text.slice(0, shownCharsMax)}… (${text.length} characters)`;
};

const words: Record<TimelineEntry['type'], string> = {
  started: 'started with',
  asked: '▶',
  opened: '·',
  answered: '◀',
  refused: '✗',
  arrived: '↓',
  ended: '■',
  waits: 'waits for',
};

const lineOf = (entry: TimelineEntry, before: number | undefined): string => {
  const { at, op, kind, tookMs, type } = entry;
  const time = at === undefined ? '' : isoTime(at).slice(11, 23);
  const since = at === undefined || before === undefined ? '' : `+${at - before}`;
  const what = [words[type], op === undefined ? '' : `#${op}`, kind ?? '', abbreviated(entry)].filter((word) => word !== '').join(' ');
  const took = tookMs === undefined ? '' : `  (${tookMs} ms)`;
  return `  ${time.padEnd(12)} ${since.padStart(8)}  ${what}${took}`;
};

export const renderTimeline = (flow: FlowInspection, entries: readonly TimelineEntry[]): string => {
  const { flowClassName, flowId, status, x500Name, startedBy, createdAt, cpkHash, sessions, operationCount, itemCount } = flow;
  const lines = [
    `${flowClassName}  ${status.flowStatus}`,
    `  flow ${flowId}${status.clientRequestId === null ? '' : `, client request id ${status.clientRequestId}`}`,
    `  at ${x500Name} (${status.holdingIdentityShortHash}), started by ${startedBy} ${isoTime(createdAt)}`,
    `  code of CPK ${cpkHash.slice(0, 12)}…, ${operationCount} operations, ${itemCount} journal items`,
    ...sessions.map(({ counterparty, protocol, version, state, end, role, unread }) => {
      const more = [unread === 0 ? '' : `${unread} unread`, end ?? ''].filter((one) => one !== '');
      return `  session as ${role} with ${counterparty}, ${protocol}${version === null ? '' : ` version ${version}`}, ${state}${more.length === 0 ? '' : `: ${more.join(', ')}`}`;
    }),
    '',
  ];
  let before: number | undefined;
  for (const entry of entries) {
    lines.push(lineOf(entry, before));
    before = entry.at ?? before;
  }
  return lines.join('\n');
};
