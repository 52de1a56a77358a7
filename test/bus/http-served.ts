/** A broker in memory behind the real HTTP server, and callers of it. */
import { request } from 'node:http';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { BrokerLimits, EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { createBusAccess } from '../../src/bus/http-server-access.ts';
import type { Credential } from '../../src/bus/http-server-access.ts';
import { serveBus } from '../../src/bus/http-server-node.ts';
import { topicsOf } from '../../src/bus/topics.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import { wires } from '../../src/messages/messages.ts';
import { createLog } from '../../src/observability/log.ts';
import { createManualClock } from './manual-clock.ts';
import type { ManualClock } from './manual-clock.ts';

export const admin: Credential = { username: 'admin', password: 'admin secret', room: 'admin' };
export const flow: Credential = { username: 'flow-1', password: 'flow secret', room: 'flow' };
export const gateway: Credential = { username: 'gateway-1', password: 'gateway secret', room: 'gateway' };

export type Answer = { readonly status: number; readonly body: any; readonly headers: Headers };

export type Served = {
  readonly url: string;
  readonly broker: EmbeddedBroker;
  readonly clock: ManualClock;
  /** Warnings and errors of the server. */
  readonly lines: string[];
  /** Calls with a credential; a body that is no text is sent as JSON. */
  call(method: string, path: string, options?: { as?: Credential | undefined; body?: unknown; headers?: Record<string, string> }): Promise<Answer>;
  close(): Promise<void>;
};

export const basic = ({ username, password }: Pick<Credential, 'username' | 'password'>): string => `Basic ${btoa(`${username}:${password}`)}`;

export const startServed = async (options: { topics?: readonly TopicConfig[]; bodyBytesMax?: number; limits?: Partial<BrokerLimits> } = {}): Promise<Served> => {
  const clock = createManualClock();
  const lines: string[] = [];
  const log = createLog({ level: 'warn', write: (line) => lines.push(line) });
  const topics = options.topics ?? [...topicsOf(wires, 4), { topic: 'plain', partitions: 2, retention: 'log' }];
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics, clock, log, limits: options.limits ?? {} });
  const access = createBusAccess({ credentials: [admin, flow, gateway] });
  const bound = options.bodyBytesMax === undefined ? {} : { bodyBytesMax: options.bodyBytesMax };
  const server = await serveBus({ broker, access, log, hostname: '127.0.0.1', port: 0, ...bound });
  return {
    url: server.url,
    broker,
    clock,
    lines,
    call: async (method, path, { as = admin, body, headers = {} } = {}) => {
      const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
      const response = await fetch(server.url + path, { method, headers: { authorization: basic(as), ...headers }, ...(text === undefined ? {} : { body: text }) });
      return { status: response.status, body: await response.json(), headers: response.headers };
    },
    close: async () => {
      await server.close();
      await broker.close();
    },
  };
};

/** GET with a body: the protocol has it, `fetch` does not. */
export const getWithBody = (url: string, path: string, body: unknown): Promise<{ status: number; body: any }> =>
  new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const call = request(url + path, { method: 'GET', headers: { authorization: basic(admin), 'content-length': Buffer.byteLength(text) } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) }));
    });
    call.on('error', reject);
    call.end(text);
  });
