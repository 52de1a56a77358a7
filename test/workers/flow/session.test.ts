import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SessionMessage } from '../../../src/messages/flow-to-flow.session.ts';
import { acceptSession, closeSession, failSession, isOver, loseSession, openSession, readNext, resetSeq, sendData, sendInfo, silenceAt, takeMessage } from '../../../src/workers/flow/engine/session.ts';
import type { Outgoing, Session, Unread } from '../../../src/workers/flow/engine/session.ts';

const id = '00000000-0000-8000-8000-000000000001';
const naming = { id, counterparty: 'CN=Bob, O=Bob, L=London, C=GB', peerFlowId: 'peer', protocol: 'test', versions: [1, 2] };
const bounds = { countMax: 1_000, charsMax: 1_000_000 };

const opened = (): Session => openSession(naming, 0);
const accepted = (): Session => acceptSession({ ...naming, version: 2 }, 0);

const messageOf = (session: Session, { seq, content }: Outgoing): SessionMessage => ({ v: 1, sessionId: id, sender: session.role, seq, content });
const data = (seq: number, json: string, closes = false): SessionMessage => ({ v: 1, sessionId: id, sender: 'initiator', seq, content: { type: 'data', json, ...(closes ? { closes } : {}) } });
const take = (session: Session, message: SessionMessage, now = 1): Session => takeMessage(session, message, now, bounds).session;

/** A value as it was sent: nothing is stored here, so all texts are at hand. */
const textOf = (unread: readonly Unread[]): string => {
  const texts = unread.map((one) => (one.type === 'fresh' ? one.text : 'stored'));
  return unread[0]?.part === undefined ? (JSON.parse(texts[0]!) as { json: string }).json : texts.join('');
};

/** Everything that can be read now. */
const readAll = (session: Session): { values: string[]; session: Session; end: string | undefined } => {
  const values: string[] = [];
  let next = session;
  for (;;) {
    const reading = readNext(next);
    if (reading.type === 'ended') return { values, session: next, end: reading.end.code };
    if (reading.type === 'waiting') return { values, session: next, end: undefined };
    values.push(textOf(reading.unread));
    next = reading.session;
  }
};

type Say = 'data' | 'long' | 'info' | 'close' | 'error';
const conversation = fc.record({
  says: fc.array(fc.constantFrom<Say>('data', 'data', 'data', 'long', 'info', 'close', 'error'), { maxLength: 12 }),
  rides: fc.boolean(),
  // Each message arrives once or more, in this order of sort keys.
  copies: fc.array(fc.tuple(fc.nat({ max: 23 }), fc.nat({ max: 1_000 })), { maxLength: 40 }),
  spread: fc.array(fc.nat({ max: 1_000 }), { minLength: 36, maxLength: 36 }),
});

/** What an initiator says, and the order in which a bad network delivers it. */
const arrivalsOf = ({ says, rides, copies, spread }: { says: Say[]; rides: boolean; copies: [number, number][]; spread: number[] }) => {
  let session = opened();
  const sent: SessionMessage[] = [];
  const values: string[] = [];
  for (const say of says) {
    if (isOver(session)) break;
    if (say === 'info') {
      const asked = sendInfo(session, true, 0);
      if (asked.outgoing !== undefined) sent.push(messageOf(session, asked.outgoing));
      session = asked.session;
      continue;
    }
    if (say === 'long') {
      const pieces = ['"a', 'b', `${values.length}"`];
      for (const [index, piece] of pieces.entries()) {
        const part = sendData(session, piece, 0, { index, count: pieces.length });
        sent.push(messageOf(session, part.outgoing));
        session = part.session;
      }
      values.push(pieces.join(''));
      continue;
    }
    const value = JSON.stringify(values.length);
    const said =
      say === 'data'
        ? sendData(session, value, 0)
        : say === 'close'
          ? closeSession(session, 0)
          : failSession(session, { code: 'SESSION_ERROR', message: 'x' }, { code: 'FLOW_FAILED', message: 'x' }, 0);
    if (say === 'data') values.push(value);
    const last = sent.at(-1);
    if (rides && said.outgoing?.content.type === 'close' && last?.content.type === 'data') {
      sent[sent.length - 1] = { ...last, content: { ...last.content, closes: true } };
    } else if (said.outgoing !== undefined) sent.push(messageOf(session, said.outgoing));
    session = said.session;
  }
  const order = sent.map((message, i) => ({ message, at: spread[i]! }));
  for (const [which, at] of copies) if (sent[which] !== undefined) order.push({ message: sent[which], at });
  order.sort((one, other) => one.at - other.at);
  return { sent, values, session, arrivals: order.map(({ message }) => message) };
};

describe('a session over a network that repeats and reorders', () => {
  test('S1, S2, S5: hands out every value once, in order, and then the end', () => {
    fc.assert(
      fc.property(conversation, (given) => {
        const { values, session, arrivals, sent } = arrivalsOf(given);
        const receiver = arrivals.reduce((before, message) => take(before, message), accepted());
        const read = readAll(receiver);
        expect(read.values).toEqual(values);
        const end = sent.length === 0 || !isOver(session) ? undefined : session.state === 'closed' ? 'SESSION_CLOSED' : 'SESSION_ERROR';
        expect(read.end).toBe(end);
      }),
    );
  });

  test('S1: what was handed out so far is always a beginning of what was sent', () => {
    fc.assert(
      fc.property(conversation, (given) => {
        const { values, arrivals } = arrivalsOf(given);
        let receiver = accepted();
        const handed: string[] = [];
        for (const message of arrivals) {
          const read = readAll(take(receiver, message));
          handed.push(...read.values);
          receiver = read.session;
          expect(handed).toEqual(values.slice(0, handed.length));
        }
      }),
    );
  });

  test('S3: nothing reopens a session that is over, or makes it speak', () => {
    const ended = fc.constantFrom(
      closeSession(sendData(opened(), '1', 0).session, 0).session,
      failSession(accepted(), { code: 'SESSION_ERROR', message: 'x' }, { code: 'X', message: 'x' }, 0).session,
      loseSession(accepted(), 'no route'),
      take(accepted(), data(1, '1', true)),
    );
    fc.assert(
      fc.property(ended, conversation, (session, given) => {
        for (const message of arrivalsOf(given).arrivals) {
          const taken = takeMessage(session, message, 5, bounds);
          expect(taken.session).toBe(session);
          expect(taken.outgoing).toBeUndefined();
        }
        expect(closeSession(session, 5)).toEqual({ session });
        expect(loseSession(session, 'x')).toBe(session);
        expect(silenceAt(session, 10)).toBeUndefined();
      }),
    );
  });

  test('S4: an error is never answered, not even one too many', () => {
    for (const type of ['error', 'close'] as const) {
      for (const seq of [1, 2, resetSeq]) {
        const content = type === 'error' ? ({ type, code: 'X', message: 'x' } as const) : ({ type } as const);
        const taken = takeMessage(accepted(), { v: 1, sessionId: id, sender: 'initiator', seq, content }, 0, { countMax: 0, charsMax: 0 });
        expect(taken.outgoing).toBeUndefined();
      }
    }
  });
});

describe('a session', () => {
  test('S6: a peer that sends more than may wait loses the session and is told', () => {
    let session = accepted();
    for (let seq = 1; seq <= 3; seq++) session = takeMessage(session, data(seq, '1'), 0, { countMax: 3, charsMax: 1_000_000 }).session;
    const taken = takeMessage(session, data(4, '1'), 0, { countMax: 3, charsMax: 1_000_000 });
    expect(taken.news).toBe('overflow');
    expect(taken.session.state).toBe('failed');
    expect(taken.outgoing?.content).toMatchObject({ type: 'error', code: 'SESSION_OVERFLOW' });
  });

  test('S6: messages far ahead of their turn count as well', () => {
    let session = accepted();
    for (let seq = 10; seq < 13; seq++) session = takeMessage(session, data(seq, '1'), 0, { countMax: 3, charsMax: 1_000_000 }).session;
    expect(takeMessage(session, data(20, '1'), 0, { countMax: 3, charsMax: 1_000_000 }).news).toBe('overflow');
  });

  test('an error from one without state is taken at once, and what was read before stays', () => {
    const session = take(accepted(), data(1, '"one"'));
    const reset = take(session, { v: 1, sessionId: id, sender: 'initiator', seq: resetSeq, content: { type: 'error', code: 'SESSION_UNKNOWN', message: 'gone' } });
    expect(readAll(reset)).toMatchObject({ values: ['"one"'], end: 'SESSION_ERROR' });
  });

  test('learns the version from the responder', () => {
    const session = sendData(opened(), '1', 0).session;
    const taken = take(session, { v: 1, sessionId: id, sender: 'responder', seq: 1, version: 2, content: { type: 'data', json: '5' } });
    expect(taken.version).toBe(2);
    expect(taken.unread[0]).toMatchObject({ text: '{"json":"5","protocolVersion":2}' });
  });

  test('learns no version from a failure', () => {
    const session = sendData(opened(), '1', 0).session;
    expect(take(session, { v: 1, sessionId: id, sender: 'responder', seq: 1, version: 2, content: { type: 'error', code: 'SESSION_TIMEOUT', message: 'x' } }).version).toBeNull();
  });

  test('that is only named has nobody to hear or tell', () => {
    expect(take(opened(), data(1, '1'))).toEqual(opened());
    expect(closeSession(opened(), 0).outgoing).toBeUndefined();
    expect(closeSession(opened(), 0).session.state).toBe('closed');
    expect(silenceAt(opened(), 10)).toBeUndefined();
  });

  test('falls silent from the last message either way', () => {
    const session = sendData(opened(), '1', 100).session;
    expect(silenceAt(session, 10)).toBe(110);
    const answered = take(session, { v: 1, sessionId: id, sender: 'responder', seq: 1, content: { type: 'data', json: '5' } }, 105);
    expect(silenceAt(answered, 10)).toBe(115);
  });

  test('in pieces is handed out when the last piece is there, and not at all when its sender has gone before', () => {
    const piece = (seq: number, index: number, json = 'x'): SessionMessage => ({ v: 1, sessionId: id, sender: 'initiator', seq, content: { type: 'data', json, part: { index, count: 2 } } });
    const half = take(accepted(), piece(1, 0, '"half'));
    expect(readNext(half).type).toBe('waiting');
    expect(readAll(take(half, piece(2, 1, '"')))).toMatchObject({ values: ['"half"'] });
    expect(readAll(take(half, { v: 1, sessionId: id, sender: 'initiator', seq: 2, content: { type: 'close' } }))).toMatchObject({ values: [], end: 'SESSION_CLOSED' });
  });

  test.each([
    ['a piece in the middle', [[1, 1, 2]]],
    ['another count', [[1, 0, 2], [2, 1, 3]]],
    ['a piece left out', [[1, 0, 3], [2, 2, 3]]],
    ['a whole value between pieces', [[1, 0, 2], [2, -1, 0]]],
    ['a beginning between pieces', [[1, 0, 2], [2, 0, 2]]],
  ])('is lost by a peer that sends nonsense: %s', (_, pieces) => {
    let taken = takeMessage(accepted(), data(9, '1'), 0, bounds);
    for (const [seq, index, count] of pieces as [number, number, number][]) {
      const part = index < 0 ? {} : { part: { index, count } };
      taken = takeMessage(taken.session, { v: 1, sessionId: id, sender: 'initiator', seq, content: { type: 'data', json: '1', ...part } }, 0, bounds);
    }
    expect(taken).toMatchObject({ news: 'overflow', session: { state: 'failed' }, outgoing: { content: { type: 'error', code: 'SESSION_DATA_INVALID' } } });
  });

  test('S6: a peer that sends more characters than may wait loses the session', () => {
    const small = { countMax: 10, charsMax: 100 };
    const first = takeMessage(accepted(), data(1, 'x'.repeat(60)), 0, small).session;
    expect(takeMessage(first, data(2, 'x'.repeat(41)), 0, small).outgoing?.content).toMatchObject({ type: 'error', code: 'SESSION_OVERFLOW' });
    expect(takeMessage(first, data(2, 'x'.repeat(40)), 0, small).news).toBe('taken');
  });

  test('S4: is asked for its version and answers once; what answers is not answered', () => {
    const asked = takeMessage(accepted(), { v: 1, sessionId: id, sender: 'initiator', seq: 1, content: { type: 'info', asks: true } }, 0, bounds);
    expect(asked.outgoing).toEqual({ seq: 1, content: { type: 'info', asks: false } });
    expect(takeMessage(asked.session, { v: 1, sessionId: id, sender: 'initiator', seq: 1, content: { type: 'info', asks: true } }, 0, bounds).outgoing).toBeUndefined();
    expect(takeMessage(accepted(), { v: 1, sessionId: id, sender: 'initiator', seq: 1, content: { type: 'info', asks: false } }, 0, bounds).outgoing).toBeUndefined();
    expect(readNext(asked.session).type).toBe('waiting');
  });

  test('S7, S2: asks for the version once, and not when it knows', () => {
    const first = sendInfo(opened(), true, 0);
    expect(first.outgoing).toEqual({ seq: 1, content: { type: 'info', asks: true } });
    expect(sendInfo(first.session, true, 0).outgoing).toBeUndefined();
    expect(sendInfo(accepted(), true, 0).outgoing).toBeUndefined();
    expect(sendInfo(sendData(opened(), '1', 0).session, false, 0).outgoing).toBeUndefined();
  });

  describe('S8: whose close is to be confirmed', () => {
    const initiator = (): Session => sendData(openSession({ ...naming, requireClose: true }, 0), '1', 0).session;
    const responder = (): Session => acceptSession({ ...naming, version: 2, requireClose: true }, 0);
    const fromResponder = (seq: number, content: SessionMessage['content']): SessionMessage => ({ v: 1, sessionId: id, sender: 'responder', seq, content });

    test('waits for the close of the responder, and reads no more', () => {
      const closing = closeSession(initiator(), 5);
      expect(closing).toMatchObject({ session: { state: 'closing' }, outgoing: { content: { type: 'close' } } });
      expect(silenceAt(closing.session, 10)).toBe(15);
      const late = take(closing.session, fromResponder(1, { type: 'data', json: '1' }));
      expect(late).toMatchObject({ state: 'closing', unread: [] });
      expect(take(late, fromResponder(2, { type: 'close' }))).toMatchObject({ state: 'closed', end: { message: 'this side closed the session' } });
      expect(take(late, fromResponder(2, { type: 'error', code: 'FLOW_FAILED', message: 'x' }))).toMatchObject({ state: 'failed' });
      expect(closeSession(late, 6)).toEqual({ session: late });
      expect(loseSession(late, 'no route')).toMatchObject({ state: 'failed', end: { code: 'COUNTERPARTY_UNDELIVERED' } });
    });

    test('is confirmed by the responder when it has finished, once, by a close or an error', () => {
      const told = take(responder(), { v: 1, sessionId: id, sender: 'initiator', seq: 1, content: { type: 'close' } });
      expect(told).toMatchObject({ state: 'closed', owesClose: true });
      const closed = closeSession(told, 5);
      expect(closed.outgoing).toEqual({ seq: 1, content: { type: 'close' } });
      expect(closeSession(closed.session, 5).outgoing).toBeUndefined();
      const failed = failSession(told, { code: 'SESSION_ERROR', message: 'x' }, { code: 'FLOW_FAILED', message: 'x' }, 5);
      expect(failed).toMatchObject({ session: { state: 'closed' }, outgoing: { seq: 1, content: { type: 'error' } } });
    });

    test('is nothing to wait for when the responder closed first', () => {
      const over = take(initiator(), fromResponder(1, { type: 'close' }));
      expect(closeSession(over, 5)).toEqual({ session: over });
    });
  });
});
