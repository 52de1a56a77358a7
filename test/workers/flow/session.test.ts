import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SessionMessage } from '../../../src/messages/flow-to-flow.session.ts';
import { acceptSession, closeSession, failSession, isOver, loseSession, openSession, readNext, resetSeq, sendData, silenceAt, takeMessage } from '../../../src/workers/flow/engine/session.ts';
import type { Outgoing, Session } from '../../../src/workers/flow/engine/session.ts';

const id = '00000000-0000-8000-8000-000000000001';
const naming = { id, counterparty: 'CN=Bob, O=Bob, L=London, C=GB', peerFlowId: 'peer', protocol: 'test', versions: [1, 2] };
const bounds = { countMax: 1_000, charsMax: 1_000_000 };

const opened = (): Session => openSession(naming, 0);
const accepted = (): Session => acceptSession({ ...naming, version: 2 }, 0);

const messageOf = (session: Session, { seq, content }: Outgoing): SessionMessage => ({ v: 1, sessionId: id, sender: session.role, seq, content });
const data = (seq: number, json: string, closes = false): SessionMessage => ({ v: 1, sessionId: id, sender: 'initiator', seq, content: { type: 'data', json, ...(closes ? { closes } : {}) } });
const take = (session: Session, message: SessionMessage, now = 1): Session => takeMessage(session, message, now, bounds).session;

/** Everything that can be read now. */
const readAll = (session: Session): { values: string[]; session: Session; end: string | undefined } => {
  const values: string[] = [];
  let next = session;
  for (;;) {
    const reading = readNext(next);
    if (reading.type === 'ended') return { values, session: next, end: reading.end.code };
    if (reading.type === 'waiting') return { values, session: next, end: undefined };
    values.push((JSON.parse((reading.unread as unknown as readonly [{ text: string }])[0].text) as { json: string }).json);
    next = reading.session;
  }
};

type Say = 'data' | 'close' | 'error';
const conversation = fc.record({
  says: fc.array(fc.constantFrom<Say>('data', 'data', 'data', 'close', 'error'), { maxLength: 12 }),
  rides: fc.boolean(),
  // Each message arrives once or more, in this order of sort keys.
  copies: fc.array(fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 1_000 })), { maxLength: 40 }),
  spread: fc.array(fc.nat({ max: 1_000 }), { minLength: 12, maxLength: 12 }),
});

/** What an initiator says, and the order in which a bad network delivers it. */
const arrivalsOf = ({ says, rides, copies, spread }: { says: Say[]; rides: boolean; copies: [number, number][]; spread: number[] }) => {
  let session = opened();
  const sent: SessionMessage[] = [];
  const values: string[] = [];
  for (const say of says) {
    if (isOver(session)) break;
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
});
