/**
 * A whole cluster in a process of its own, called over HTTP as any client calls it: for the black-box tests of the REST API.
 *
 *     const cluster = useCluster();
 *     covers(cluster, 'GET /cpi', 'happy', 'lists what was uploaded', async ({ call, installApp }) => { … });
 *
 * `covers` is a test that also checks that the operation was called and answered so; `completeness.test.ts` reads these names and says
 * which operation still lacks one. That an operation answers nobody without a login is tested for all of them, in `unauthorised.test.ts`.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type ClusterProcess } from '../../../../src/cli/cluster-process.ts';
import { buildPackage, wrapCpb } from '../../../../src/packaging/build.ts';
import { openSigningKey } from '../../../../src/packaging/build-signing-key.ts';
import { routes } from '../../../../src/workers/rest/api/api.ts';
import { createRouteTable } from '../../../../src/workers/rest/routing/routing.ts';
import { staticPolicy } from '../../db/packages.ts';

export type Answer = { readonly status: number; readonly headers: Headers; readonly text: string; readonly json: any };
export type Caller = { readonly login: string; readonly password: string };
export type CallOptions = {
  readonly json?: unknown;
  /** A multipart body: texts and files by field. */
  readonly form?: Readonly<Record<string, string | Blob | readonly Blob[]>>;
  readonly body?: BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: the administrator. */
  readonly as?: Caller | 'nobody';
};

export type InstalledApp = {
  readonly groupId: string;
  /** 12 hex digits. */
  readonly cpiFileChecksum: string;
  /** Signed by this certificate, which the cluster was told to trust. */
  readonly signerPem: string;
  readonly cpi: Uint8Array;
};

export type BlackBox = {
  readonly url: string;
  /** Where other clusters reach this one. */
  readonly gatewayUrl: string;
  readonly admin: Caller;
  /** Calls below `/api/v5_2`, or at the path as it is where it begins with `/api/`; checks a success against the route's own shape. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Asks again until the answer satisfies the condition. */
  until(method: string, path: string, condition: (answer: Answer) => boolean): Promise<Answer>;
  /** The sample application, for a static network of these members: its signer trusted, its CPI uploaded and verified. */
  installApp(members?: readonly string[]): Promise<InstalledApp>;
  /** A virtual node of the application, registered in its network; gives its short hash. */
  addMember(app: InstalledApp, x500Name: string): Promise<string>;
  /** Where `/metrics` is. */
  readonly healthUrl: string;
  /** The cluster's log. */
  readonly logFile: string;
};

export type Outcome = 'happy' | 'refused';

const untilMsMax = 20_000;
const askAgainMs = 20;
const sampleApp = fileURLToPath(new URL('../../../apps/ping-pong', import.meta.url));
export const alice = 'CN=Alice, O=Alice Corp, L=London, C=GB';
export const bob = 'CN=Bob, O=Bob Corp, L=Paris, C=FR';

const table = createRouteTable(routes);
type Heard = { readonly operation: string; readonly status: number };
const heard: Heard[] = [];
let appCount = 0;

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A success must be of the route's shape, to the last property; a refusal of the contract's error shape. */
const checkAnswer = (method: string, pathname: string, { status, json, text }: Answer): void => {
  const match = table.match(method, pathname);
  if (status >= 400) return expect(json).toEqual({ title: expect.any(String), status, details: expect.any(Object) });
  if (match.type !== 'route' || match.route.reply.type === 'events' || match.route.reply.type === 'file') return;
  const { reply } = match.route;
  if (reply.type === 'nothing') return expect([status, text]).toEqual([204, '']);
  if (pathname.toLowerCase().startsWith('/api/v5_2/')) expect(reply.statuses).toContain(status);
  expect(reply.schema.parse(json)).toEqual(json);
};

const formOf = (fields: NonNullable<CallOptions['form']>): FormData => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) for (const one of typeof value === 'string' || value instanceof Blob ? [value] : value) form.append(name, one);
  return form;
};

const createCall =
  (url: string, admin: Caller): BlackBox['call'] =>
  async (method, path, { json, form, body, headers, as = admin } = {}) => {
    const full = path.startsWith('/api/') ? path : `/api/v5_2${path}`;
    const content = json !== undefined ? JSON.stringify(json) : form !== undefined ? formOf(form) : body;
    const response = await fetch(`${url}${full}`, {
      method,
      headers: {
        accept: 'application/json',
        ...(as === 'nobody' ? {} : { authorization: `Basic ${btoa(`${as.login}:${as.password}`)}` }),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(content === undefined ? {} : { body: content }),
    });
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text, json: parse(text) };
    const match = table.match(method, full.split('?')[0]!);
    if (match.type === 'route') heard.push({ operation: `${match.route.method} ${match.route.path}`, status: answer.status });
    if (headers?.['accept'] === undefined && method !== 'HEAD' && method !== 'OPTIONS') checkAnswer(method, full.split('?')[0]!, answer);
    return answer;
  };

const createUntil =
  (call: BlackBox['call']): BlackBox['until'] =>
  async (method, path, condition) => {
    const deadline = performance.now() + untilMsMax;
    for (;;) {
      const answer = await call(method, path);
      if (condition(answer)) return answer;
      if (performance.now() > deadline) throw new Error(`${method} ${path} did not come to what was waited for within ${untilMsMax} ms; last: ${answer.status} ${answer.text}`);
      await new Promise((resolve) => setTimeout(resolve, askAgainMs));
    }
  };

const sessionKeyOf = async (call: BlackBox['call'], tenant: string): Promise<void> => {
  for (const [use, category] of [['session', 'SESSION_INIT'], ['ledger', 'LEDGER']] as const) {
    await call('POST', `/hsm/soft/${tenant}/${category}`);
    await call('POST', `/key/${tenant}/alias/${tenant}-${use}/category/${category}/scheme/CORDA.ECDSA.SECP256R1`);
  }
};

/** How a cluster is called that a test starts by itself. */
export const connect = (url: string, admin: Caller): Pick<BlackBox, 'call' | 'until'> => {
  const call = createCall(url, admin);
  return { call, until: createUntil(call) };
};

const open = (process: ClusterProcess, directory: string, admin: Caller): BlackBox => {
  const call = createCall(process.restUrl, admin);
  const until = createUntil(call);
  return {
    url: process.restUrl,
    gatewayUrl: process.gatewayUrl,
    admin,
    call,
    until,
    healthUrl: process.healthUrl,
    logFile: process.logFile,
    installApp: async (members = [alice, bob]) => {
      const groupId = randomUUID();
      const groupPolicy = staticPolicy(groupId, members.map((name) => ({ name, memberStatus: 'ACTIVE', 'endpointUrl-1': process.gatewayUrl, 'endpointProtocol-1': 1 })));
      const signer = await openSigningKey(join(directory, 'signing-key'));
      // A version of its own: CPIs of one name and version are refused.
      const { cpb } = await buildPackage({ project: sampleApp, signer });
      const { cpi } = await wrapCpb({ cpb, groupPolicy, signer, version: `1.0.${++appCount}` });
      const signerPem = signer.certificateChainPem;
      expect((await call('PUT', '/certificate/cluster/code-signer', { form: { alias: 'black-box', certificate: new Blob([signerPem]) } })).status).toBe(204);
      const uploaded = await call('POST', '/cpi', { form: { upload: new Blob([new Uint8Array(cpi)]) } });
      const done = await until('GET', `/cpi/status/${uploaded.json.id}`, ({ json }) => json.status === 'OK' || json.status >= 400);
      if (done.status !== 200) throw new Error(`the CPI was refused: ${done.text}`);
      return { groupId, cpiFileChecksum: done.json.cpiFileChecksum, signerPem, cpi };
    },
    addMember: async ({ cpiFileChecksum }, x500Name) => {
      const { json } = await call('POST', '/virtualnode', { json: { request: { cpiFileChecksum, x500Name } } });
      const done = await until('GET', `/virtualnode/status/${json.requestId}`, ({ json: { status } }) => status !== 'ACCEPTED' && status !== 'IN_PROGRESS');
      if (done.json.status !== 'SUCCEEDED') throw new Error(`no virtual node was made: ${done.text}`);
      const shortHash: string = done.json.resourceId;
      await sessionKeyOf(call, shortHash);
      await call('POST', `/membership/${shortHash}`, { json: { memberRegistrationRequest: { context: { 'corda.key.scheme': 'CORDA.ECDSA.SECP256R1' } } } });
      await until('GET', `/membership/${shortHash}`, ({ json: all }) => all.some(({ registrationStatus }: { registrationStatus: string }) => registrationStatus === 'APPROVED'));
      return shortHash;
    },
  };
};

const startBlackBox = async (environment: Readonly<Record<string, string>>): Promise<{ box: BlackBox; stop(): Promise<void> }> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-black-box-'));
  const admin = { login: 'admin', password: 'admin-password' };
  const process = await startCluster({ name: 'black-box', directory, restPort: 0, gatewayPort: 0, adminPassword: admin.password, environment: { CORDAGE_FLOW_SANDBOXES: '1', ...environment } });
  const stop = async (): Promise<void> => {
    await process.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  return { box: open(process, directory, admin), stop };
};

/** The clusters of a test file, started together before its first test. */
export const useClusters = (count: number, environment: Readonly<Record<string, string>> = {}): (() => readonly BlackBox[]) => {
  const started: Awaited<ReturnType<typeof startBlackBox>>[] = [];
  beforeAll(async () => {
    started.push(...(await Promise.all(Array.from({ length: count }, () => startBlackBox(environment)))));
    // Several at once on a loaded machine take their time.
  }, 60_000 * count);
  afterAll(() => Promise.all(started.map(({ stop }) => stop())));
  return () => {
    if (started.length === 0) throw new Error('clusters are started before the first test of the file, not earlier');
    return started.map(({ box }) => box);
  };
};

/** The only cluster of a test file. */
export const useCluster = (): (() => BlackBox) => {
  const clusters = useClusters(1);
  return () => clusters()[0]!;
};

const kindOf = (status: number): Outcome | 'other' => (status < 300 ? 'happy' : status >= 400 && status < 500 && status !== 401 ? 'refused' : 'other');

/**
 * A test of operations (`GET /cpi`, as the contract writes them) and how they end: `happy`, 2xx, or `refused`, 4xx. It fails when one of
 * them was not called, or never ended so.
 */
export const covers = (cluster: () => BlackBox, operations: string | readonly string[], outcome: Outcome, promise: string, run: (cluster: BlackBox) => Promise<void>, timeoutMs?: number): void => {
  const named = typeof operations === 'string' ? [operations] : operations;
  test(
    `${named.join(', ')}: ${promise}`,
    async () => {
      const before = heard.length;
      await run(cluster());
      const ended = new Set(heard.slice(before).filter(({ status }) => kindOf(status) === outcome).map(({ operation }) => operation));
      expect(named.filter((name) => !ended.has(name)), `operations that this test was to see end "${outcome}", and did not`).toEqual([]);
    },
    timeoutMs,
  );
};
