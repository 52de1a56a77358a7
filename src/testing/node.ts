/** A virtual node of a test network, as a test sees it: start flows, look into the vault, read what its flows said. */
import { flowIdOf } from '../identity/derive.ts';
import type { Entity, StartableFlow } from '../flow-sdk/flow-sdk.ts';
import { parse } from '../flow-sdk/flow-sdk.ts';
import type { EntityOperation } from '../messages/flow-to-db.entity.ts';
import { restToFlowStart } from '../messages/rest-to-flow.start.ts';
import type { FlowHead } from '../workers/flow/engine/head.ts';
import { askFlowRoom } from './ask.ts';
import { loadHead, openTestFlow, TestFlowError, type FlowPowers, type TestFlow } from './flows.ts';

export type StartOptions = {
  /** Default: derived from the flow's name and a counter, the same in every run. */
  readonly clientRequestId?: string;
};

/** What a flow wrote with `ctx.log`. */
export type TestLogLine = { readonly level: string; readonly message: string; readonly fields?: unknown; readonly flowId: string };

export type TestVault = {
  /** The entity of this id, read with its schema where it has one. */
  find<T extends object>(entity: Entity<T>, id: string): Promise<T | undefined>;
  /** Every entity of this kind, in order of id. */
  all<T extends object>(entity: Entity<T>): Promise<readonly T[]>;
  /** Puts entities there, in place of those with their ids: what a test begins with. */
  put<T extends object>(entity: Entity<T>, ...values: readonly T[]): Promise<void>;
};

export type TestNode = {
  /** Canonical X.500 name: what flows call this member. */
  readonly name: string;
  readonly shortHash: string;
  readonly vault: TestVault;
  /**
   * Starts a flow as REST does; resolves when its start is stored. By value the result has the flow's type, by name it is unknown.
   * Rejects with the flow room's refusal, for instance FLOW_CLASS_NOT_STARTABLE.
   */
  start<Result>(flow: StartableFlow<Result>, input?: unknown, options?: StartOptions): Promise<TestFlow<Result>>;
  start(flowClassName: string, input?: unknown, options?: StartOptions): Promise<TestFlow>;
  /** Every flow of this node so far, the newest change first; those that counterparties' sessions started are among them. */
  flows(): Promise<readonly TestFlow[]>;
  /** What its flows said, in order. A step that a crash undid may have spoken twice. */
  readonly log: readonly TestLogLine[];
};

const flowsListedMax = 1_000;
const entitiesReadMax = 1_000;

const openVault = ({ member }: FlowPowers): TestVault => {
  const { vault, identity } = member;
  const apply = async (operation: EntityOperation): Promise<{ items: readonly { json: string }[]; after?: string | undefined }> => {
    const [result] = await vault.transact((tx) => tx.entities.apply([{ flowId: 'test', shortHash: identity.shortHash, operation }], 0));
    if (result?.type !== 'done') throw new Error(`the vault of ${identity.x500Name} refused: ${JSON.stringify(result)}`);
    return result.reply;
  };
  const read = async <T extends object>({ schema }: Entity<T>, json: string): Promise<T> => {
    const value: unknown = JSON.parse(json);
    // Without a schema the application trusts its own vault, and so does its test.
    return schema === undefined ? (value as T) : parse(schema, value);
  };
  return {
    find: async (entity, id) => {
      const { items } = await apply({ type: 'find', entity: entity.name, ids: [id] });
      return items[0] === undefined ? undefined : read(entity, items[0].json);
    },
    all: async (entity) => {
      const found: string[] = [];
      for (let after: string | undefined = ''; after !== undefined; ) {
        const page: Awaited<ReturnType<typeof apply>> = await apply({ type: 'query', entity: entity.name, where: {}, countMax: entitiesReadMax, ...(after === '' ? {} : { after }) });
        found.push(...page.items.map(({ json }) => json));
        after = page.after;
      }
      return Promise.all(found.map((json) => read(entity, json)));
    },
    put: async (entity, ...values) => {
      if (values.length > 0) await apply({ type: 'merge', entity: entity.name, items: values.map((value) => ({ id: entity.id(value), json: JSON.stringify(value) })) });
    },
  };
};

export const openTestNode = (powers: FlowPowers, log: readonly TestLogLine[]): TestNode => {
  const { member } = powers;
  const { x500Name: name, shortHash } = member.identity;
  let starts = 0;
  const start = async <Result>(flow: string | StartableFlow<Result>, input?: unknown, options: StartOptions = {}): Promise<TestFlow<Result>> => {
    if (!member.online) throw new TestFlowError('WAITING', `${name} is offline: no flow can be started there`);
    const flowClassName = typeof flow === 'string' ? flow : flow.declaration.name;
    const clientRequestId = options.clientRequestId ?? `${flowClassName}-${++starts}`;
    const { identity } = member;
    const flowId = flowIdOf(shortHash, clientRequestId);
    const body = { holdingIdentity: identity, clientRequestId, flowClassName, requestBody: JSON.stringify(input ?? null), startedBy: 'test' };
    // Each call is a request of its own, as each call of REST is.
    const id = `start/${flowId}/${member.bus.records(restToFlowStart.topic).length}`;
    const outcome = await askFlowRoom(powers, restToFlowStart, { key: flowId, id, body });
    if (outcome?.type === 'refused') throw new TestFlowError('FLOW_FAILED', `${flowClassName} was not started: ${outcome.code}: ${outcome.message}`);
    const head = await loadHead(member, flowId);
    if (head === undefined) throw new TestFlowError('WAITING', `${flowClassName} was not started and nothing is left to do`);
    return openTestFlow<Result>(powers, head);
  };
  return {
    name,
    shortHash,
    log,
    vault: openVault(powers),
    // One body serves both forms; without a value there is no type to infer.
    start: start as TestNode['start'],
    flows: async () => {
      const states = await member.states.list({ scope: shortHash, countMax: flowsListedMax });
      // The flow room's store holds its heads.
      return states.map(({ head }) => openTestFlow(powers, head as FlowHead));
    },
  };
};
