/**
 * A network in memory: members with vaults and real keys, sessions between their flows. It implements `ContextHost` as
 * operations.ts describes it, without journal, crash or network, so that flows can be run to see what they do.
 */
import { fromBase64url, toBase64url } from '../../src/cipher/bytes.ts';
import { generateKeyPair, keyIdOf, sign, verify } from '../../src/cipher/signature.ts';
import { runFlow, type FlowStart } from '../../src/flow-sdk/context.ts';
import type { Flow } from '../../src/flow-sdk/flow-sdk.ts';
import type { AnswerOf, ContextHost, HostScope, MemberInfo, OperationKind, ParamsOf } from '../../src/flow-sdk/operations.ts';
import { deriveId } from '../../src/identity/derive.ts';
import { holdingIdentityOf } from '../../src/identity/holding-identity.ts';
import { parseX500 } from '../../src/identity/x500.ts';
import { entityOperation } from '../../src/messages/flow-to-db.entity.ts';
import type { EntityResult } from '../../src/workers/db/db-tx.ts';
import { createMemoryEntities } from '../../src/workers/db/memory/entities.ts';
import { createUndo } from '../../src/workers/db/memory/undo.ts';
import { digest, specsOfKey } from '../../src/workers/flow/sandbox/pure-host.ts';

type Message = { type: 'data'; json: string } | { type: 'close' } | { type: 'error'; message: string };

/** One end of a session: what has come, and who waits for more. */
type End = { readonly came: Message[]; wake: () => void; sentAny: boolean; over: Message | undefined; deliver: (message: Message) => void };
type Keys = { readonly publicKey: Uint8Array; readonly privateKey: Uint8Array };

type Node = {
  readonly me: ContextHost['me'];
  readonly info: MemberInfo;
  readonly keys: Keys;
  readonly vault: Map<string, Map<string, string>>;
  readonly logs: { level: string; message: string; fields: unknown }[];
};

export type Network = {
  /** Starts a flow by name at a member and answers its result as REST would show it. */
  run(member: string, flowName: string, input?: unknown): Promise<string | null>;
  /** JSON texts of a member's entities by id. */
  vault(member: string, entity: string): ReadonlyMap<string, string>;
  logs(member: string): readonly { level: string; message: string; fields: unknown }[];
  /** Kinds of the operations performed so far, in order. */
  readonly operations: readonly string[];
};

const groupId = 'f6ed4ee7-6b1d-4c8e-9d5a-1f0f5b4b8f01';
const spec = 'EdDSA';
const refusal = (code: string, message: string): { code: string; message: string } => ({ code, message });

const canonical = (text: string): string => {
  const parsed = parseX500(text);
  // As a cluster would: a name that is none belongs to no member.
  return parsed.type === 'name' ? parsed.name : '';
};

const makeNode = async (x500Name: string): Promise<Node> => {
  const parsed = parseX500(x500Name);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  const { shortHash } = holdingIdentityOf(parsed.name, groupId);
  const keys = await generateKeyPair('CORDA.EDDSA.ED25519');
  const key = { publicKey: toBase64url(keys.publicKey), spec };
  const info: MemberInfo = { x500Name: parsed.name, groupId, status: 'ACTIVE', serial: 1, memberContext: { 'corda.name': parsed.name }, sessionKeys: [key], ledgerKeys: [] };
  return { me: { x500Name: parsed.name, groupId, shortHash }, info, keys, vault: new Map(), logs: [] };
};

const makeEnd = (): End => {
  const end: End = { came: [], wake: () => {}, sentAny: false, over: undefined, deliver: () => {} };
  return end;
};

const connect = (one: End, other: End): void => {
  one.deliver = (message) => {
    other.came.push(message);
    other.wake();
  };
};

const next = async (end: End): Promise<string> => {
  while (end.came.length === 0 && end.over === undefined) await new Promise<void>((resolve) => (end.wake = resolve));
  const message = end.over ?? end.came.shift()!;
  if (message.type === 'data') return message.json;
  end.over = message;
  if (message.type === 'error') throw refusal('SESSION_ERROR', message.message);
  throw refusal('SESSION_CLOSED', 'the session is closed');
};

// ── One member's database ────────────────────────────────────────────────────────────────────────────────────────────

const database = ({ vault }: Node) => {
  const table = (entity: string): Map<string, string> => {
    if (!vault.has(entity)) vault.set(entity, new Map());
    return vault.get(entity)!;
  };
  const entities = createMemoryEntities((_, entity) => table(entity), createUndo());
  const look = async (operation: ParamsOf<'db.query' | 'db.count'> & { type: 'query' | 'count' }) => {
    const [result] = await entities.apply([{ flowId: '', shortHash: '', operation: entityOperation.parse(operation) }], 0);
    return (result as Extract<EntityResult, { type: 'done' }>).reply;
  };
  return {
    persist: ({ entity, items }: ParamsOf<'db.persist'>): AnswerOf<'db.persist'> => {
      const taken = items.find(({ id }) => table(entity).has(id));
      if (taken !== undefined) throw refusal('DB_ENTITY_EXISTS', `${entity} ${taken.id} is stored already`);
      for (const { id, json } of items) table(entity).set(id, json);
      return {};
    },
    merge: ({ entity, items }: ParamsOf<'db.merge'>): AnswerOf<'db.merge'> => {
      for (const { id, json } of items) table(entity).set(id, json);
      return {};
    },
    remove: ({ entity, ids }: ParamsOf<'db.remove'>): AnswerOf<'db.remove'> => ({ ids: ids.filter((id) => table(entity).delete(id)) }),
    find: ({ entity, ids }: ParamsOf<'db.find'>): AnswerOf<'db.find'> => ({
      items: ids.flatMap((id) => (table(entity).has(id) ? [{ id, json: table(entity).get(id)! }] : [])),
    }),
    query: async (params: ParamsOf<'db.query'>): Promise<AnswerOf<'db.query'>> => {
      const { items, after } = await look({ ...params, type: 'query' });
      return after === undefined ? { items } : { items, after };
    },
    count: async (params: ParamsOf<'db.count'>): Promise<AnswerOf<'db.count'>> => ({ count: (await look({ ...params, type: 'count' })).count ?? 0 }),
  };
};

const failed = { type: 'error', message: 'the flow of the counterparty failed' } as const;

/** A flow that goes on as another run. */
class Continued extends Error {
  readonly json: string;
  readonly context: Record<string, string>;
  constructor(json: string, context: Record<string, string>) {
    super('the flow continues');
    this.json = json;
    this.context = context;
  }
}

/** Operations of a scope race with its end. */
const scopeOf = (outer: ContextHost): HostScope => {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const host: ContextHost = { ...outer, operation: (kind, params) => Promise.race([promise, outer.operation(kind, params)]), openScope: () => scopeOf(host) };
  return { host, cancel: reject };
};

const pureHost = { digest, specsOf: specsOfKey };

// ── The network ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Runs queries of tables for a member, where a test has a database for it. */
export type RunQuery = (member: string, query: ParamsOf<'db.run'>['query']) => Promise<AnswerOf<'db.run'>>;

export const createNetwork = async (names: readonly string[], flows: readonly Flow[], runQuery?: RunQuery): Promise<Network> => {
  const nodes = new Map((await Promise.all(names.map(makeNode))).map((node) => [node.me.x500Name, node]));
  const operations: string[] = [];
  let now = Date.UTC(2026, 0, 1);
  let started = 0;

  const nodeOf = (name: string): Node => {
    const node = nodes.get(canonical(name));
    if (node === undefined) throw new Error(`no member ${name}`);
    return node;
  };

  const hostOf = (node: Node, flowId: string, sessions: Map<string, End>, context: Record<string, string> = {}, protocols = new Map<string, { counterparty: string; protocol: { name: string; versions: readonly number[] } }>()): ContextHost => {
    const db = database(node);
    let count = 0;

    /** Begins the responder at the first message of a session. */
    const begin = (sessionId: string, end: End): void => {
      const { counterparty, protocol } = protocols.get(sessionId)!;
      const other = nodes.get(canonical(counterparty));
      if (other === undefined) throw refusal('MEMBER_NOT_FOUND', `${counterparty} is not a member`);
      const spoken = (flow: Flow): number[] => (flow.declaration.protocol?.name === protocol.name ? flow.declaration.protocol.versions.filter((version) => protocol.versions.includes(version)) : []);
      const responder = flows.find((flow) => flow.kind === 'responder' && spoken(flow).length > 0);
      const far = makeEnd();
      connect(end, far);
      connect(far, end);
      if (responder === undefined) return void far.deliver({ type: 'error', message: `nothing answers ${protocol.name}` });
      const session = { sessionId, counterparty: node.me.x500Name, protocolVersion: Math.max(...spoken(responder)) };
      far.sentAny = true;
      void runFlow(responder, hostOf(other, deriveId('test', sessionId), new Map([[sessionId, far]])), { type: 'session', session }).then(
        () => far.deliver({ type: 'close' }),
        (error: unknown) => far.deliver({ type: 'error', message: error instanceof Error ? error.message : String(error) }),
      );
    };

    const send = (sessionId: string, json: string): void => {
      const end = sessions.get(sessionId)!;
      if (end.over !== undefined) throw refusal('SESSION_CLOSED', 'the session is closed');
      if (!end.sentAny) begin(sessionId, end);
      end.sentAny = true;
      end.deliver({ type: 'data', json });
    };

    const receive = async (sessionId: string): Promise<AnswerOf<'session.receive'>> => {
      const end = sessions.get(sessionId)!;
      if (!end.sentAny) begin(sessionId, end);
      end.sentAny = true;
      return { json: await next(end) };
    };

    const finish = (sessionId: string, message: Message): AnswerOf<'session.close'> => {
      const end = sessions.get(sessionId)!;
      if (end.over === undefined && end.sentAny) end.deliver(message);
      end.over ??= { type: 'close' };
      return {};
    };

    const performers: { [Kind in OperationKind]?: (params: ParamsOf<Kind>) => AnswerOf<Kind> | Promise<AnswerOf<Kind>> } = {
      'session.send': ({ sessionId, json }) => (send(sessionId, json), {}),
      'session.receive': ({ sessionId }) => receive(sessionId),
      'session.sendAndReceive': ({ sessionId, json }) => (send(sessionId, json), receive(sessionId)),
      'session.close': ({ sessionId }) => finish(sessionId, { type: 'close' }),
      'session.fail': ({ sessionId }) => finish(sessionId, failed),
      'session.closeAll': ({ sessionIds }) => (sessionIds.forEach((sessionId) => finish(sessionId, { type: 'close' })), {}),
      'session.failAll': ({ sessionIds }) => (sessionIds.forEach((sessionId) => finish(sessionId, failed)), {}),
      'session.sendAll': ({ messages }) => (messages.forEach(({ sessionId, json }) => send(sessionId, json)), {}),
      'session.receiveAll': async ({ sessionIds }) => ({ messages: await Promise.all(sessionIds.map(receive)) }),
      continueAs: ({ json, context }) => {
        throw new Continued(json, context);
      },
      'db.persist': db.persist,
      'db.merge': db.merge,
      'db.remove': db.remove,
      'db.find': db.find,
      'db.query': db.query,
      'db.count': db.count,
      ...(runQuery === undefined ? {} : { 'db.run': ({ query }) => runQuery(node.me.x500Name, query) }),
      'crypto.sign': async ({ data }) => ({
        signature: toBase64url(await sign({ scheme: 'CORDA.EDDSA.ED25519', spec, privateKey: node.keys.privateKey, data: fromBase64url(data) })),
        publicKey: toBase64url(node.keys.publicKey),
        spec,
      }),
      'crypto.verify': async ({ data, signature, publicKey }) => ({
        valid: await verify({ publicKey: fromBase64url(publicKey), spec, data: fromBase64url(data), signature: fromBase64url(signature) }),
      }),
      'members.find': ({ x500Name }) => ({ member: nodes.get(canonical(x500Name))?.info ?? null }),
      'members.findByKey': ({ key }) => ({ member: [...nodes.values()].find(({ info }) => info.sessionKeys[0]!.publicKey === key)?.info ?? null }),
      'members.all': ({ attributes = {} }) => ({ members: [...nodes.values()].map(({ info }) => info).filter(({ x500Name }) => Object.entries(attributes).every(([name, value]) => x500Name.includes(`${name}=${value}`))) }),
      'group.parameters': () => ({ group: { groupId, epoch: 1, parameters: { 'corda.minimum.platform.version': '50000' } } }),
      'crypto.myKeys': ({ publicKeys }) => {
        const publicKey = toBase64url(node.keys.publicKey);
        const keys = [{ id: keyIdOf(node.keys.publicKey), alias: 'session', category: 'SESSION_INIT', scheme: 'CORDA.EDDSA.ED25519', publicKey }];
        return { keys: publicKeys === undefined || publicKeys.includes(publicKey) ? keys : [] };
      },
      sleep: ({ durationMs }) => ((now += durationMs), {}),
    };

    const host: ContextHost = {
      ...pureHost,
      me: node.me,
      flowId,
      operation: async <Kind extends OperationKind>(kind: Kind, params: ParamsOf<Kind>) => {
        operations.push(kind);
        // Parameters and answers must be JSON: whatever is not is lost here, as it would be on the way to the engine.
        const sent = JSON.parse(JSON.stringify(params)) as ParamsOf<Kind>;
        const performer = performers[kind];
        if (performer === undefined) throw refusal('OPERATION_INVALID', `this network does not perform ${kind}`);
        return JSON.parse(JSON.stringify(await performer(sent))) as AnswerOf<Kind>;
      },
      openScope: () => scopeOf(host),
      has: () => true,
      context,
      counters: () => ({ operations: 0, sessions: 0, uuids: 0, chance: 0 }),
      openSession: ({ counterparty, protocol }) => {
        const sessionId = deriveId('session', flowId, String(count++));
        sessions.set(sessionId, makeEnd());
        protocols.set(sessionId, { counterparty, protocol });
        return { sessionId };
      },
      now: () => now,
      random: () => ((count += 1), (count * 0.618) % 1),
      uuid: () => deriveId('uuid', flowId, String(count++)),
      log: (level, message, fields) => void node.logs.push({ level, message, fields }),
    };
    return host;
  };

  return {
    operations,
    vault: (member, entity) => nodeOf(member).vault.get(entity) ?? new Map(),
    logs: (member) => nodeOf(member).logs,
    run: async (member, flowName, input) => {
      const flow = flows.find(({ declaration }) => declaration.name === flowName);
      if (flow === undefined) throw new Error(`no flow ${flowName}`);
      let start: FlowStart = { type: 'input', input };
      let context: Record<string, string> = { 'corda.account': 'account-zero' };
      for (;;) {
        try {
          return await runFlow(flow, hostOf(nodeOf(member), deriveId('flow', String(started++)), new Map(), context), start);
        } catch (error) {
          if (!(error instanceof Continued)) throw error;
          start = { type: 'input', input: JSON.parse(error.json) };
          ({ context } = error);
        }
      }
    },
  };
};
