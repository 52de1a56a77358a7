/** The switches by which a test makes things go wrong, and what they make of messages and requests. */
import type { BatchPoint } from '../shell/operational.ts';
import { millisecondsOf, type Duration } from './duration.ts';

/** A message between two flows, as the network sees it on its way. */
export type TestMessage = {
  /** Canonical X.500 names. */
  readonly from: string;
  readonly to: string;
  readonly sessionId: string;
  readonly seq: number;
  readonly type: 'data' | 'close' | 'error' | 'info';
  /** The value sent, of `data`. */
  readonly value?: unknown;
};

/** Which messages: all, or those from one member, to one, or that a function picks. Members are named as the network's properties are. */
export type MessageFilter = { readonly from?: string; readonly to?: string; readonly where?: (message: TestMessage) => boolean };

export type Fate = { readonly type: 'pass' } | { readonly type: 'lose' } | { readonly type: 'double' } | { readonly type: 'delay'; readonly delayMs: number } | { readonly type: 'overtaken' };

/** The rooms that answer operations of flows. */
export type AnsweringRoom = 'db' | 'crypto';
export type RequestFate = { readonly type: 'pass' } | { readonly type: 'refuse'; readonly code: string; readonly message: string } | { readonly type: 'delay'; readonly delayMs: number } | { readonly type: 'lose' };

export type Faults = {
  /** The next message is lost; its sender hears so when it expires, five minutes later by the network's clock. */
  dropNext(filter?: MessageFilter, count?: number): void;
  /** The next message arrives twice. */
  duplicateNext(filter?: MessageFilter, count?: number): void;
  /** The next message is under way for this long. */
  delayNext(duration: Duration, filter?: MessageFilter, count?: number): void;
  /** The next message is overtaken by the one after it; where none follows, it arrives when all else has come to rest. */
  reorderNext(filter?: MessageFilter, count?: number): void;
  /** The next request of this member's flows to the room is refused: flow code sees a FlowPlatformError. */
  refuseNext(member: string, room: AnsweringRoom, refusal?: { readonly code?: string; readonly message?: string }, count?: number): void;
  /** The next request of this member's flows is on its way to the room for this long. */
  delayRequest(member: string, room: AnsweringRoom, duration: Duration, count?: number): void;
  /** The next request is lost; the flow room asks again after a while. */
  dropRequest(member: string, room: AnsweringRoom, count?: number): void;
  /** The member's flow room dies now and another takes over: its flows are rebuilt from their journals. */
  crash(member: string): void;
  /** It dies the next time it comes to this point of its work. */
  crashAt(member: string, point: BatchPoint, count?: number): void;
  /** It dies after every step, so that every step begins with a replay. */
  crashAlways(member: string): void;
  /** Nothing of the member runs, and messages to it wait until they expire. */
  offline(member: string): void;
  online(member: string): void;
  /** Everything goes well again; who is offline stays so. */
  clear(): void;
};

type Armed<Of, Result> = { readonly fits: (of: Of) => boolean; readonly result: Result; left: number };

/** The first switch that fits is used up by one. */
const take = <Of, Result>(armed: Armed<Of, Result>[], of: Of): Result | undefined => {
  const found = armed.find(({ fits, left }) => left > 0 && fits(of));
  if (found === undefined) return undefined;
  found.left -= 1;
  return found.result;
};

type Request = { readonly member: string; readonly room: AnsweringRoom };

export type FaultPanel = {
  readonly faults: Faults;
  messageFate(message: TestMessage): Fate;
  requestFate(request: Request): RequestFate;
  /** Whether a member's flow room dies at this point. */
  diesAt(member: string, point: BatchPoint): boolean;
};

export type FaultPanelOptions = {
  /** The canonical name of a member; throws where there is none. */
  readonly nameOf: (member: string) => string;
  readonly crash: (name: string) => void;
  readonly setOnline: (name: string, online: boolean) => void;
};

export const createFaults = ({ nameOf, crash, setOnline }: FaultPanelOptions): FaultPanel => {
  const messages: Armed<TestMessage, Fate>[] = [];
  const requests: Armed<Request, RequestFate>[] = [];
  const deaths: Armed<{ readonly member: string; readonly point: BatchPoint }, true>[] = [];

  const onMessage = (result: Fate, { from, to, where = () => true }: MessageFilter = {}, left = 1): void => {
    const [sender, receiver] = [from, to].map((member) => (member === undefined ? undefined : nameOf(member)));
    const fits = (message: TestMessage): boolean => (sender ?? message.from) === message.from && (receiver ?? message.to) === message.to && where(message);
    messages.push({ fits, result, left });
  };
  const onRequest = (asker: string, room: AnsweringRoom, result: RequestFate, left = 1): void => {
    const name = nameOf(asker);
    requests.push({ fits: (request) => request.member === name && request.room === room, result, left });
  };
  const onPoint = (victim: string, point: BatchPoint, left: number): void => {
    const name = nameOf(victim);
    deaths.push({ fits: (at) => at.member === name && at.point === point, result: true, left });
  };
  const faults: Faults = {
    dropNext: (filter, count) => onMessage({ type: 'lose' }, filter, count),
    duplicateNext: (filter, count) => onMessage({ type: 'double' }, filter, count),
    delayNext: (duration, filter, count) => onMessage({ type: 'delay', delayMs: millisecondsOf(duration) }, filter, count),
    reorderNext: (filter, count) => onMessage({ type: 'overtaken' }, filter, count),
    refuseNext: (member, room, { code = `${room.toUpperCase()}_REFUSED`, message = 'the test refuses it' } = {}, count) => onRequest(member, room, { type: 'refuse', code, message }, count),
    delayRequest: (member, room, duration, count) => onRequest(member, room, { type: 'delay', delayMs: millisecondsOf(duration) }, count),
    dropRequest: (member, room, count) => onRequest(member, room, { type: 'lose' }, count),
    crash: (member) => crash(nameOf(member)),
    crashAt: (member, point, count = 1) => onPoint(member, point, count),
    crashAlways: (member) => onPoint(member, 'committed', Infinity),
    offline: (member) => setOnline(nameOf(member), false),
    online: (member) => setOnline(nameOf(member), true),
    clear: () => {
      for (const armed of [messages, requests, deaths]) armed.length = 0;
    },
  };
  return {
    faults,
    messageFate: (message) => take(messages, message) ?? { type: 'pass' },
    requestFate: (request) => take(requests, request) ?? { type: 'pass' },
    diesAt: (member, point) => take(deaths, { member, point }) === true,
  };
};
