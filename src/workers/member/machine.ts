/**
 * The machine of the member room. A virtual node's short hash is the key of its registrations, by the kind of its network: static
 * (registration.ts), dynamic (joining/), or of a network that it manages itself (mgm/). A group id is the key of what all members of the
 * group share on this cluster: of a static network (group.ts) or a dynamic one (list/).
 */
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import type { Machine, StepInput, StepOutput, StoredItem } from '../../shell/worker.ts';
import { pageCharsMax } from './config.ts';
import type { JoinRequest, MemberEvent } from './event.ts';
import { stepGroup } from './group.ts';
import { joiningDueAt, stepJoining } from './joining/joining.ts';
import { stepLeaving } from './joining/leaving.ts';
import { listDueAt, stepList } from './list/list.ts';
import { pageDue } from './list/pages.ts';
import type { ListPage } from './list/state.ts';
import { mgmDueAt, stepMgm } from './mgm/mgm.ts';
import type { Request } from './mgm/state.ts';
import type { Network, Networks } from './network.ts';
import { onAnswer } from './on-answer.ts';
import { departureRecords, onDeparture } from './on-departure.ts';
import { onGroup } from './on-group.ts';
import { onListed } from './on-listed.ts';
import { onMgm } from './on-mgm.ts';
import { onNetwork } from './on-network.ts';
import { onReceive } from './on-receive.ts';
import { onRegistration } from './on-registration.ts';
import { onWake } from './on-wake.ts';
import { stepMember, type Facts } from './registration.ts';
import { answered, refused } from './registrations.ts';
import type { Item, State } from './state.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';

type Input = StepInput<State, Item, MemberEvent>;
type Output = StepOutput<State, Item>;
type Next = Extract<Output, { type: 'next' }>;

export type MemberMachineOptions = { readonly networks: Networks; readonly log: Log; /** Counts what was refused. */ readonly onRefused?: () => void; /** Default `pageCharsMax`. */ readonly pageChars?: number };

/** Strangers are told nothing; the operator is. */
const refuse = ({ log, onRefused }: MemberMachineOptions, event: string, fields: Readonly<Record<string, string>>): void => {
  log.warn(event, fields);
  onRefused?.();
};

const withDue = (next: Next, dueAt: number | undefined): Next => (dueAt === undefined ? next : { ...next, dueAt });
const withStatus = (next: Next, status: string | undefined): Next => (status === undefined ? next : { ...next, status });

// ── Under a group id ─────────────────────────────────────────────────────────────────────────────────────────────────

const isJoin = (event: MemberEvent): event is { readonly type: 'group'; readonly request: JoinRequest } => event.type === 'group' && event.request.body.type === 'join';

const stepStaticGroup = ({ head, events }: Input, networks: Networks, now: number): Output => {
  const stray = events.findIndex((event) => !isJoin(event));
  if (stray >= 0) return { type: 'poison', event: stray, reason: 'addressed to the group of a static network, which only hears joins' };
  const stepped = stepGroup(head?.type === 'group' ? head : undefined, events.filter(isJoin).map(({ request }) => request), networks, now);
  if (stepped.type === 'later') return stepped;
  return { type: 'next', head: stepped.state === head ? undefined : stepped.state, effects: stepped.effects, scope: 'group', status: 'ACTIVE' };
};

const isPage = (item: StoredItem<Item>): item is StoredItem<ListPage> => 'type' in item.value;
const isRequest = (item: StoredItem<Item>): item is StoredItem<Request> => !('type' in item.value);

/** Operators may ask for lists more often than lists do by themselves. */
const syncingBy = <List extends { readonly syncAt: number }>(state: List, latest: number): List => (state.syncAt <= latest ? state : { ...state, syncAt: latest });

const stepDynamicGroup = async ({ key, head, events, items }: Input, options: MemberMachineOptions, now: number): Promise<Output> => {
  const before = head?.type === 'list' ? head : undefined;
  const onRefused = (reason: string): void => refuse(options, 'member.list-refused', { groupId: key, reason });
  const { state: stepped, effects, itemsAdded, itemsRemoved } = await stepList({ before, events, items: items?.filter(isPage), networks: options.networks, now, onRefused });
  const state = stepped === undefined ? undefined : syncingBy(stepped, now + options.networks.times().syncMs);
  const next: Next = { type: 'next', head: state === before ? undefined : state, itemsAdded, itemsRemoved, effects, scope: 'group', status: 'ACTIVE' };
  return state === undefined ? next : withDue(next, listDueAt(state));
};

const shortHash = /^[0-9A-F]{12}$/;

// ── Under a virtual node's short hash ────────────────────────────────────────────────────────────────────────────────

const stepStatic = (input: Input, facts: Facts, now: number): Output => {
  const { head, events } = input;
  const before = head?.type === 'member' ? head : undefined;
  const stray = events.findIndex(({ type }) => type === 'group' || type === 'received' || type === 'listed');
  if (stray >= 0) return { type: 'poison', event: stray, reason: 'addressed to a virtual node of a static network' };
  const own = events.filter((event) => event.type === 'registration' || event.type === 'answer');
  const { state, effects } = stepMember({ before, events: own, facts, now });
  const asked = events.flatMap((event) => {
    if (event.type === 'mgm') return answered(event.request, refused('MEMBER_NOT_MGM', `${event.request.body.shortHash} is not the manager of its network`));
    return event.type === 'set-up' ? answered(event.request, refused('MEMBER_STATIC_NETWORK', 'a static network is set up by its group policy and the registration')) : [];
  });
  const changed = state !== before && state.registrations.length > 0;
  return withStatus({ type: 'next', head: changed ? state : undefined, effects: [...effects, ...asked], scope: 'member' }, state.registrations.at(-1)?.registrationStatus);
};

const stepOfMgm = async ({ key, head, events, items }: Input, virtualNode: VirtualNode, { cpi }: Network, options: MemberMachineOptions, now: number): Promise<Output> => {
  const before = head?.type === 'mgm' ? head : undefined;
  const { networks } = options;
  const { groupId } = virtualNode.holdingIdentity;
  const stepped = await stepMgm({
    before, events, history: (items ?? []).filter(isRequest).map(({ value }) => value),
    facts: { virtualNode, cpi, now, tlsType: networks.tlsType(), times: networks.times(), pageChars: options.pageChars ?? pageCharsMax, member: (x500Name) => networks.member(groupId, x500Name) },
    onRefused: (reason) => refuse(options, 'member.refused', { mgm: key, reason }),
  });
  if (stepped.type === 'later') return stepped;
  const { state, effects, itemsAdded, itemsRemoved } = stepped;
  return withDue({ type: 'next', head: state === before ? undefined : state, itemsAdded, itemsRemoved, effects, scope: 'mgm', status: state.group === null ? 'NEW' : 'ACTIVE' }, mgmDueAt(state, networks.times()));
};

const stepVirtualNode = async (input: Input, virtualNode: VirtualNode, network: Network, options: MemberMachineOptions, now: number): Promise<Output> => {
  const { head, events } = input;
  const { cpi, policy } = network;
  const { networks } = options;
  switch (policy.type) {
    case 'static':
      return stepStatic(input, { virtualNode, network, tlsType: networks.tlsType() }, now);
    case 'mgm':
      return stepOfMgm(input, virtualNode, network, options, now);
    case 'dynamic': {
      const before = head?.type === 'joining' ? head : undefined;
      const { state, effects } = await stepJoining({ before, events, facts: { virtualNode, cpi, policy, tlsType: networks.tlsType(), times: networks.times() }, now });
      const next: Next = { type: 'next', head: state === before ? undefined : state, effects, scope: 'member' };
      return withDue(withStatus(next, state.registrations.at(-1)?.registrationStatus), joiningDueAt(state));
    }
  }
};

const isDeparture = (event: MemberEvent): event is Extract<MemberEvent, { type: 'departure' }> => event.type === 'departure';

/** What else came with it finds that the virtual node is gone. In a dynamic network the member stays what the list says it is: see joining/leaving.ts. */
const stepDeparture = (input: Input, listed: boolean): Output => {
  const departures = input.events.filter(isDeparture);
  const others = input.events.filter((event) => !isDeparture(event));
  const effects = [...effectsOnNobody(input.key, others), ...departures.flatMap(({ request }) => departureRecords(request, listed))];
  return { type: 'next', head: input.head === undefined ? undefined : null, effects };
};

/** Nobody lives under this key: who asks is told so, all else falls to the ground. */
const effectsOnNobody = (key: string, events: readonly MemberEvent[]): readonly OutRecord[] => {
  const unknown = refused('MEMBER_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${key} on this cluster`);
  return events.flatMap((event) => (event.type === 'registration' || event.type === 'mgm' || event.type === 'set-up' ? answered(event.request, unknown) : []));
};

const stepKey = async (input: Input, options: MemberMachineOptions, now: number): Promise<Output> => {
  const { key, head, events } = input;
  const { networks } = options;
  if (!shortHash.test(key)) return head?.type === 'group' || (head === undefined && events.some(isJoin)) ? stepStaticGroup(input, networks, now) : stepDynamicGroup(input, options, now);
  const virtualNode = networks.virtualNode(key);
  const network = virtualNode === undefined ? undefined : networks.ofCpi(virtualNode.cpiFullChecksum);
  if (virtualNode !== undefined && network?.policy.type === 'dynamic' && head?.type === 'joining' && (head.leaving !== undefined || events.some(isDeparture))) {
    const { cpi, policy } = network;
    const { state, effects } = stepLeaving(head, events, { virtualNode, cpi, policy, tlsType: networks.tlsType(), times: networks.times(), now });
    return withDue({ type: 'next', head: state, effects: [...effectsOnNobody(key, events), ...effects], scope: 'member' }, state?.leaving?.giveUpAt);
  }
  if (events.some(isDeparture)) return stepDeparture(input, network !== undefined && network.policy.type !== 'static');
  if (virtualNode === undefined || virtualNode.deleting === true) return { type: 'next', head: undefined, effects: effectsOnNobody(key, events), scope: 'member' };
  if (network === undefined) return { type: 'later', reason: `the CPI ${virtualNode.cpiFullChecksum} of ${key} is not in view yet` };
  return stepVirtualNode(input, virtualNode, network, options, now);
};

export const createMemberMachine = (options: MemberMachineOptions): Machine<State, Item, MemberEvent> => ({
  hearings: [onRegistration, onAnswer, onGroup, onDeparture, onMgm, onNetwork, onReceive, onListed],
  wake: onWake,
  // A virtual node that has just been answered over REST, or that another replica made, must be known here.
  prepare: () => options.networks.refresh(),
  needsItems: (_key, head, events) => {
    if (head?.type === 'mgm') return events.some((event) => event.type === 'mgm' && event.request.body.type === 'registrations' && event.request.body.historic);
    const due = head?.type === 'list' && events.some(({ type }) => type === 'wake') ? pageDue(head) : undefined;
    return due === undefined ? false : [{ after: due - 1, countMax: 1, bytesMax: 1 }];
  },
  step: (inputs, now) => Promise.all(inputs.map((input) => stepKey(input, options, now))),
});
