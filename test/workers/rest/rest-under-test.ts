/** A rest worker on a real broker in memory, with rooms behind it that a test directs; and facts to serve. */
import { scrypt } from '@noble/hashes/scrypt.js';
import { expect } from 'vitest';
import type { Bus } from '../../../src/bus/bus.ts';
import { openEmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { systemClock, type Clock } from '../../../src/host/clock.ts';
import { deriveId } from '../../../src/identity/derive.ts';
import { holdingIdentityOf } from '../../../src/identity/holding-identity.ts';
import { parseX500 } from '../../../src/identity/x500.ts';
import { allToRestAnswer } from '../../../src/messages/all-to-rest.answer.ts';
import { dbToAllConfig } from '../../../src/messages/db-to-all.config.ts';
import { dbToAllCpi, type CpiMetadata } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { dbToRestPermission } from '../../../src/messages/db-to-rest.permission.ts';
import { dbToRestRole, type Role } from '../../../src/messages/db-to-rest.role.ts';
import { dbToRestUser, type User } from '../../../src/messages/db-to-rest.user.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import { wires } from '../../../src/messages/messages.ts';
import { createLog, silentLog } from '../../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../../src/observability/metrics.ts';
import { createConfig } from '../../../src/shell/live-config.ts';
import { createRequests } from '../../../src/shell/create-requests.ts';
import { openView } from '../../../src/shell/open-view.ts';
import { routes } from '../../../src/workers/rest/api/api.ts';
import type { RestLimits } from '../../../src/workers/rest/config.ts';
import { createRouteTable } from '../../../src/workers/rest/routing/routing.ts';
import { createRestWorker, type RestDeps, type RestWorker } from '../../../src/workers/rest/worker.ts';
import { openRooms, type Rooms } from './rooms.ts';

// ── Facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** scrypt at its cheapest: these tests are not about its cost. */
const cost = { n: 2, r: 8, p: 1 } as const;

/** A role with these permissions: `ALLOW .*`, or `DENY .* at 0123456789AB`. */
export const roleOf = (name: string, ...texts: readonly string[]): Role => ({
  id: deriveId('role', name),
  name,
  groupVisibility: null,
  permissions: texts.map((given) => {
    const [, type, text = '', virtualNode = null] = /^(ALLOW|DENY) (.*?)(?: at ([0-9a-fA-F]{12}))?$/.exec(given) ?? [];
    return { permission: { id: deriveId('permission', name, given), type: type as 'ALLOW' | 'DENY', text, virtualNode, groupVisibility: null, version: 1, updatedAt: 1_700_000_000_000 }, since: 1_700_000_000_000 };
  }),
  version: 1,
  updatedAt: 1_700_000_000_000,
});

/** What users may do here unless a test says otherwise. */
export const everythingRole = roleOf('everything', 'ALLOW .*');

export const userOf = (login: string, password: string, more: Partial<User> = {}): User => {
  const salt = utf8(`salt of ${login}`);
  const hash = scrypt(utf8(password), salt, { N: cost.n, r: cost.r, p: cost.p, dkLen: 32 });
  return {
    id: deriveId('user', login),
    login,
    fullName: login,
    enabled: true,
    password: { ...cost, salt: toBase64url(salt), hash: toBase64url(hash) },
    passwordExpiry: null,
    parentGroup: null,
    roles: [{ id: everythingRole.id, since: 1_700_000_000_000 }],
    version: 1,
    updatedAt: 1_700_000_000_000,
    ...more,
  };
};

export const groupId = '7d0d7d9c-8f9f-4a53-a7a6-5c8f5d6b1a11';
export const cpiFullChecksum = 'AB12CD34EF56'.padEnd(64, '0');

export const cpi: CpiMetadata = {
  id: { name: 'greetings', version: '1.0', signerSummaryHash: 'SHA-256:AA' },
  fullChecksum: cpiFullChecksum,
  groupId,
  groupPolicy: '{"fileFormatVersion":1}',
  cpks: [
    {
      hash: 'C0'.padEnd(64, '0'),
      id: { name: 'greetings-flows', version: '1.0', signerSummaryHash: 'SHA-256:AA' },
      flows: [
        { name: 'com.example.Ping', kind: 'startable' },
        { name: 'com.example.Echo', kind: 'startable' },
        { name: 'com.example.Pong', kind: 'responder', protocol: { name: 'ping', versions: [1] } },
      ],
      timestamp: 1_700_000_000_000,
    },
  ],
  timestamp: 1_700_000_000_000,
};

export const virtualNodeOf = (name: string, more: Partial<VirtualNode> = {}): VirtualNode => {
  const parsed = parseX500(name);
  if (parsed.type !== 'name') throw new Error(parsed.reason);
  return {
    holdingIdentity: holdingIdentityOf(parsed.name, groupId),
    cpiId: cpi.id,
    cpiFullChecksum,
    cpkHashes: cpi.cpks.map(({ hash }) => hash),
    flowStartOperationalStatus: 'ACTIVE',
    flowOperationalStatus: 'ACTIVE',
    flowP2pOperationalStatus: 'ACTIVE',
    vaultDbOperationalStatus: 'ACTIVE',
    vaultDmlConnectionId: 'vault-dml',
    vaultDdlConnectionId: null,
    cryptoDmlConnectionId: 'crypto-dml',
    cryptoDdlConnectionId: null,
    uniquenessDmlConnectionId: 'uniqueness-dml',
    uniquenessDdlConnectionId: null,
    version: 1,
    timestamp: 1_700_000_000_000,
    ...more,
  };
};

export const alice = virtualNodeOf('CN=Alice, O=Alice Corp, L=London, C=GB');
export const aliceHash = alice.holdingIdentity.shortHash;
/** Set for maintenance: no flow may start there. */
export const mallory = virtualNodeOf('CN=Mallory, O=Mallory Corp, L=London, C=GB', { flowStartOperationalStatus: 'INACTIVE' });
export const strangerHash = '0123456789AB';

export const basic = (login: string, password: string): string => `Basic ${btoa(`${login}:${password}`)}`;
export const admin = basic('admin', 'admin-password');

// ── The worker ───────────────────────────────────────────────────────────────────────────────────────────────────────

export type Answer = { readonly status: number; readonly headers: Headers; readonly text: string; readonly json: any };
export type CallOptions = { readonly body?: BodyInit; readonly json?: unknown; readonly headers?: Record<string, string>; readonly version?: string };

export type RestUnderTest = {
  readonly worker: RestWorker;
  readonly rooms: Rooms;
  readonly bus: Bus;
  readonly metrics: Metrics;
  /** Lines of the log, parsed. */
  readonly logged: Record<string, unknown>[];
  /** Calls as the administrator, under /api/v5_2 unless the version says otherwise; checks the answer against the route. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  publishUser(user: User): Promise<void>;
  publishRole(role: Role): Promise<void>;
  publishVirtualNode(node: VirtualNode): Promise<void>;
  removeUser(login: string): Promise<void>;
  close(): Promise<void>;
};

export type UnderTestOptions = { readonly limits?: Partial<RestLimits>; readonly clock?: Clock; readonly change?: (deps: RestDeps) => RestDeps };

const table = createRouteTable(routes);

/** A success must be of the route's shape, to the last property; a refusal of the contract's error shape. */
const checkShape = (method: string, path: string, { status, json, text }: Answer): void => {
  const [pathname = ''] = path.split('?');
  const match = table.match(method, pathname);
  if (status >= 400) {
    expect(json).toEqual({ title: expect.any(String), status, details: expect.any(Object) });
    return;
  }
  if (match.type !== 'route' || match.route.reply.type === 'events' || match.route.reply.type === 'file') return;
  if (match.route.reply.type === 'nothing') {
    expect([status, text]).toEqual([204, '']);
    return;
  }
  expect(match.route.reply.statuses).toContain(status);
  expect(match.route.reply.schema.parse(json)).toEqual(json);
};

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const publishOn = (bus: Bus) => async (wire: Parameters<typeof encode>[0], key: string, body: unknown): Promise<void> => {
  await bus.publish([encode(wire, { key, id: `test/${key}/${Math.random()}`, body })]);
};

/** What db has published in a cluster that a test calls: an administrator, a CPI and two virtual nodes. */
export const publishFacts = async (bus: Bus): Promise<void> => {
  const publish = publishOn(bus);
  await publish(dbToRestRole, everythingRole.id, everythingRole);
  await publish(dbToRestUser, 'admin', userOf('admin', 'admin-password'));
  await publish(dbToAllCpi, cpiFullChecksum, cpi);
  for (const node of [alice, mallory]) await publish(dbToAllVirtualNode, node.holdingIdentity.shortHash, node);
};

export const openRest = async (options: UnderTestOptions = {}): Promise<RestUnderTest> => {
  const logged: Record<string, unknown>[] = [];
  const log = createLog({ level: 'debug', write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) });
  const metrics = createMetrics();
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires), clock: systemClock, log: silentLog });
  const bus = broker.connect();
  const publish = publishOn(bus);
  await publishFacts(bus);
  const requests = await createRequests({ bus, room: 'rest', answerWire: allToRestAnswer, instance: 'rest-under-test', log: silentLog });
  const [users, roles, permissions, cpis, virtualNodes, stored] = await Promise.all([
    openView({ bus, wire: dbToRestUser, log: silentLog }),
    openView({ bus, wire: dbToRestRole, log: silentLog }),
    openView({ bus, wire: dbToRestPermission, log: silentLog }),
    openView({ bus, wire: dbToAllCpi, log: silentLog }),
    openView({ bus, wire: dbToAllVirtualNode, log: silentLog }),
    openView({ bus, wire: dbToAllConfig, log: silentLog }),
  ]);
  const rooms = openRooms(bus);
  const { limits, clock = systemClock, change = (deps: RestDeps) => deps } = options;
  const worker = createRestWorker(change({ requests, config: createConfig({ view: stored, log }), views: { users, roles, permissions, cpis, virtualNodes, config: stored }, statusFollower: bus, clock, log, metrics, ...(limits === undefined ? {} : { limits }) }));

  const call = async (method: string, path: string, { body, json, headers, version = 'v5_2' }: CallOptions = {}): Promise<Answer> => {
    const full = path.toLowerCase().startsWith('/api/') ? path : `/api/${version}${path}`;
    const content = json === undefined ? body : JSON.stringify(json);
    const request = new Request(`http://rest.test${full}`, {
      method,
      headers: { authorization: admin, accept: 'application/json', ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(content === undefined ? {} : { body: content, duplex: 'half' }),
    } as RequestInit);
    const response = await worker.fetch(request);
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text, json: parse(text) };
    if (headers?.['accept'] === undefined && method !== 'HEAD') checkShape(method, full, answer);
    return answer;
  };
  return {
    worker,
    rooms,
    bus,
    metrics,
    logged,
    call,
    publishUser: async (user) => {
      await publish(dbToRestUser, user.login, user);
      await users.refresh();
    },
    publishRole: async (role) => {
      await publish(dbToRestRole, role.id, role);
      await roles.refresh();
    },
    removeUser: async (login) => {
      await publish(dbToRestUser, login, null);
      await users.refresh();
    },
    publishVirtualNode: (node) => publish(dbToAllVirtualNode, node.holdingIdentity.shortHash, node),
    close: async () => {
      await worker.close();
      await rooms.close();
      await requests.close();
      await Promise.all([users.close(), roles.close(), permissions.close(), cpis.close(), virtualNodes.close(), stored.close()]);
      await broker.close();
    },
  };
};
