/**
 * The Upstash Kafka REST protocol over an engine (the embedded broker, or the bridge to Kafka), apart from any HTTP server: a request comes as a value and ends in
 * one. The hosted service is gone, so the protocol is frozen; what Cordage adds is in further routes and headers only:
 *
 * - `GET /health` without credentials (503 while the engine cannot serve); `POST /cancel/{poll}` ends the poll that carries that name in `Cordage-Poll`;
 * - `Cordage-Member` names one life of an instance: another name takes the instance over (B4 when an answer was lost, too);
 * - `Cordage-Records-Max` bounds the records of one poll;
 * - `Cordage-Produce: <producer>/<number>` names a produce request, so that a repeat of the producer's last one is not a second.
 */
import { BusError } from '../bus.ts';
import type { BusErrorCode } from '../bus.ts';
import type { Log } from '../../observability/log.ts';
import { parseBasic } from '../http-server-access.ts';
import type { BusAccess, Grant } from '../http-server-access.ts';
import type { BusEngine } from '../engine.ts';
import type { BusAnswer, BusRequest, Call } from './call.ts';
import { headerOf } from './call.ts';
import { Refused } from './parse.ts';
import { createPolls } from './polls.ts';
import { createProduces } from './produces.ts';
import { commit, committed, consume, consumers, deleteConsumer, fetchRecords, offsets, produce, topics, webhook } from './routes.ts';

export type BusProtocol = {
  /** Never rejects. */
  answer(request: BusRequest): Promise<BusAnswer>;
};

export type BusProtocolOptions = { readonly broker: BusEngine; readonly access: BusAccess; readonly log: Log };

type Route = { readonly methods: readonly string[]; readonly answer: (call: Call) => string | Promise<string> };

export const createBusProtocol = (options: BusProtocolOptions): BusProtocol => {
  const { broker, access, log } = options;
  const polls = createPolls();
  const produces = createProduces();
  const routes: Readonly<Record<string, Route>> = {
    produce: { methods: ['GET', 'POST'], answer: (call) => produces.once(call, () => produce(broker, call)) },
    webhook: { methods: ['GET', 'POST'], answer: (call) => webhook(broker, call) },
    fetch: { methods: ['GET', 'POST'], answer: (call) => polls.run(call, (signal) => fetchRecords(broker, call, signal)) },
    consume: { methods: ['GET', 'POST'], answer: (call) => polls.run(call, (signal) => consume(broker, call, signal)) },
    commit: { methods: ['GET', 'POST'], answer: (call) => commit(broker, call) },
    committed: { methods: ['GET', 'POST'], answer: (call) => committed(broker, call) },
    offsets: { methods: ['GET', 'POST'], answer: (call) => offsets(broker, call) },
    'delete-consumer': { methods: ['POST', 'DELETE'], answer: (call) => deleteConsumer(broker, call) },
    topics: { methods: ['GET'], answer: (call) => topics(broker, call) },
    consumers: { methods: ['GET'], answer: (call) => consumers(broker, call) },
    cancel: { methods: ['POST'], answer: (call) => polls.cancel(call) },
  };
  const answer = async (request: BusRequest): Promise<BusAnswer> => {
    try {
      const { names, query } = parseTarget(request.target);
      const [name = '', ...rest] = names;
      if (name === 'health' && rest.length === 0 && request.method === 'GET') return healthOf(await broker.ailment());
      const route = Object.hasOwn(routes, name) ? routes[name] : undefined;
      if (route === undefined) throw new Refused(404, 'no such route');
      const grant = authenticate(access, request, name === 'webhook' ? query : undefined);
      if (!route.methods.includes(request.method)) throw new Refused(405, `use ${route.methods.join(' or ')}`);
      return { status: 200, body: await route.answer({ request, names: rest, query, grant }) };
    } catch (error) {
      return refusal(error, request, log);
    }
  };
  return { answer };
};

/** A probe needs no more than the status; the reason is for who reads it. */
const healthOf = (reason: string | undefined): BusAnswer =>
  reason === undefined ? { status: 200, body: '{"status":"UP"}' } : { status: 503, body: JSON.stringify({ status: 'DOWN', reason }) };

const parseTarget = (target: string): { names: string[]; query: URLSearchParams } => {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  try {
    const names = path.split('/').slice(1).map(decodeURIComponent);
    return { names, query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)) };
  } catch {
    throw new Refused(400, 'the path is not well encoded');
  }
};

/** `/webhook` alone takes its credential from the query: its callers can often set nothing but a URL. */
const authenticate = (access: BusAccess, request: BusRequest, query: URLSearchParams | undefined): Grant => {
  const basic = parseBasic(headerOf(request, 'authorization'));
  const username = query?.get('user') ?? basic?.username;
  const password = query?.get('pass') ?? basic?.password;
  const grant = username === undefined || password === undefined ? undefined : access.authenticate(username, password);
  if (grant === undefined) throw new Refused(401, 'unknown user name or password');
  return grant;
};

const statuses: Record<BusErrorCode, number> = {
  BUS_UNKNOWN_TOPIC: 404,
  BUS_REFUSED: 400,
  BUS_RECORD_TOO_LARGE: 413,
  BUS_CLOSED: 503,
  BUS_UNREACHABLE: 503,
  BUS_CORRUPT: 500,
};

export const errorAnswer = (status: number, error: string): BusAnswer => ({ status, body: JSON.stringify({ error, status }) });

const refusal = (error: unknown, request: BusRequest, log: Log): BusAnswer => {
  if (error instanceof Refused) {
    // Never the query: a webhook's holds its password.
    const { status, message } = error;
    const route = request.target.split(/[/?]/)[1];
    if (status === 401 || status === 403) log.warn('bus.refused', { method: request.method, route, status, reason: message });
    return errorAnswer(status, message);
  }
  if (error instanceof BusError) return errorAnswer(statuses[error.code], error.message);
  log.error('bus.request_failed', { method: request.method, error });
  return errorAnswer(500, 'the broker failed on this request; its log says why');
};

export type { BusAnswer, BusRequest };
