/** The machine of the member room: the state under a key is a virtual node's registrations or a group's, by what it hears. */
import type { Machine, StepInput, StepOutput } from '../../shell/worker.ts';
import type { JoinRequest, MemberEvent } from './event.ts';
import { stepGroup } from './group.ts';
import type { Networks } from './network.ts';
import { onAnswer } from './on-answer.ts';
import { departureRecords, onDeparture } from './on-departure.ts';
import { onGroup } from './on-group.ts';
import { onRegistration } from './on-registration.ts';
import { stepMember, type Facts } from './registration.ts';
import type { GroupState, MemberState, State } from './state.ts';

type Input = StepInput<State, unknown, MemberEvent>;
type Output = StepOutput<State, unknown>;

const joinsOf = (events: readonly MemberEvent[]): JoinRequest[] => events.flatMap((event) => (event.type === 'join' ? [event.request] : []));

const stepGroupKey = (head: GroupState | undefined, joins: readonly JoinRequest[], networks: Networks, now: number): Output => {
  const stepped = stepGroup(head, joins, networks, now);
  if (stepped.type === 'later') return stepped;
  const changed = stepped.state !== head;
  return { type: 'next', head: changed ? stepped.state : undefined, effects: stepped.effects, scope: 'group', status: 'ACTIVE' };
};

/** The virtual node and its network, `undefined` when there is no such virtual node, or why that cannot be told yet. */
const factsOf = (shortHash: string, networks: Networks): Facts | undefined | string => {
  const virtualNode = networks.virtualNode(shortHash);
  if (virtualNode === undefined || virtualNode.deleting === true) return undefined;
  const network = networks.ofCpi(virtualNode.cpiFullChecksum);
  return network === undefined ? `the CPI ${virtualNode.cpiFullChecksum} of ${shortHash} is not in view yet` : { virtualNode, network };
};

const isDeparture = (event: MemberEvent): event is Extract<MemberEvent, { type: 'departure' }> => event.type === 'departure';

/** What else came with it finds that the virtual node is gone. */
const stepDeparture = (head: MemberState | undefined, events: readonly MemberEvent[], now: number): Output => {
  const others = events.filter((event) => event.type !== 'departure' && event.type !== 'join');
  const { effects } = stepMember({ before: undefined, events: others, facts: undefined, now });
  return { type: 'next', head: head === undefined ? undefined : null, effects: [...effects, ...events.filter(isDeparture).flatMap(({ request }) => departureRecords(request))] };
};

const stepMemberKey = (head: MemberState | undefined, { key, events }: Input, networks: Networks, now: number): Output => {
  if (events.some(isDeparture)) return stepDeparture(head, events, now);
  const facts = factsOf(key, networks);
  if (typeof facts === 'string') return { type: 'later', reason: facts };
  const { state, effects } = stepMember({ before: head, events: events.filter((event) => event.type !== 'join' && event.type !== 'departure'), facts, now });
  const changed = state !== head && state.registrations.length > 0;
  const status = state.registrations.at(-1)?.registrationStatus;
  return { type: 'next', head: changed ? state : undefined, effects, scope: 'member', ...(status === undefined ? {} : { status }) };
};

const stepKey = (input: Input, networks: Networks, now: number): Output => {
  const { head, events } = input;
  const joins = joinsOf(events);
  if (head?.type === 'group' || (head === undefined && joins.length > 0)) {
    const stray = events.findIndex(({ type }) => type !== 'join');
    return stray < 0 ? stepGroupKey(head, joins, networks, now) : { type: 'poison', event: stray, reason: 'addressed to a group, which only hears joins' };
  }
  const stray = events.findIndex(({ type }) => type === 'join');
  return stray < 0 ? stepMemberKey(head, input, networks, now) : { type: 'poison', event: stray, reason: 'a join addressed to a virtual node' };
};

export const createMemberMachine = (networks: Networks): Machine<State, unknown, MemberEvent> => ({
  hearings: [onRegistration, onAnswer, onGroup, onDeparture],
  // A virtual node that has just been answered over REST, or that another replica made, must be known here.
  prepare: () => networks.refresh(),
  step: async (inputs, now) => inputs.map((input) => stepKey(input, networks, now)),
});
