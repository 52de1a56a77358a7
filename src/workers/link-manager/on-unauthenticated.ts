/**
 * Messages of no session: how whoever wants to join a network speaks to its manager, before anybody there knows it. They are sent
 * once and never acknowledged, and only identities here that manage a network hear them, at a bounded rate: anybody can write one.
 */
import * as z from 'zod';
import { pairTagOf } from '../../identity/derive.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import { groupId, x500Name } from '../../messages/grammar/shapes.ts';
import { linkManagerToGatewayLinkOut, unauthenticatedPacketCharsMax } from '../../messages/link-manager-to-gateway.link-out.ts';
import { linkManagerToMemberReceive } from '../../messages/link-manager-to-member.receive.ts';
import { memberToLinkManagerUnauthenticated, unauthenticatedPayloadCharsMax } from '../../messages/member-to-link-manager.unauthenticated.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { LinkManagerLimits } from './config.ts';
import type { LinkEvent } from './head.ts';
import { refuse, type Turn } from './turn.ts';

export type Unauthenticated = BodyOf<typeof memberToLinkManagerUnauthenticated>;

export const hearsUnauthenticated: Hearing<Unauthenticated, LinkEvent> = {
  wire: memberToLinkManagerUnauthenticated,
  toEvent: ({ body }) => ({ type: 'unauthenticated', message: body }),
};

const packetVersion = 1;

const packet = z.strictObject({
  v: z.literal(packetVersion),
  type: z.literal('unauthenticated'),
  messageId: z.string().min(1).max(200),
  groupId,
  source: x500Name,
  destination: x500Name,
  payload: z.string().max(unauthenticatedPayloadCharsMax),
});
type UnauthenticatedPacket = z.infer<typeof packet>;

/** So many a second in all. In memory: what is refused is sent again. */
export const createStrangerGate = ({ unauthenticatedPerSecondMax }: Pick<LinkManagerLimits, 'unauthenticatedPerSecondMax'>): ((now: number) => boolean) => {
  let second = 0;
  let count = 0;
  return (now) => {
    const thisSecond = Math.floor(now / 1_000);
    if (thisSecond !== second) [second, count] = [thisSecond, 0];
    return ++count <= unauthenticatedPerSecondMax;
  };
};

const handOver = (turn: Turn, { messageId, groupId: group, source, destination, payload }: Omit<UnauthenticatedPacket, 'v' | 'type'>, shortHash: string): void => {
  const body = { type: 'unauthenticated' as const, messageId, groupId: group, source, destination, payload };
  turn.effects.push(encode(linkManagerToMemberReceive, { key: shortHash, id: `${messageId}/unauthenticated`, body }));
  turn.deps.tally.received(1);
};

/** From a room of ours, to the manager's gateway, or straight to the manager where it lives here. */
export const onUnauthenticated = (turn: Turn, message: Unauthenticated): string | undefined => {
  const { messageId, groupId: group, source, destination, address, payload } = message;
  if (pairTagOf(group, source, destination) !== turn.key) return 'the record key is not the tag of the pair that the message names';
  const manager = turn.deps.directory.managerHere(group, destination);
  if (manager !== undefined) {
    handOver(turn, message, manager.shortHash);
    return undefined;
  }
  const text = JSON.stringify({ v: packetVersion, type: 'unauthenticated', messageId, groupId: group, source, destination, payload } satisfies UnauthenticatedPacket);
  const body = { address, groupId: group, tag: turn.key, packet: text, unauthenticated: true as const, ...turn.deps.directory.certificateOf(group, source) };
  turn.effects.push(encode(linkManagerToGatewayLinkOut, { key: turn.key, id: messageId, body }));
  turn.deps.tally.sent(1);
  return undefined;
};

const parse = (text: string): UnauthenticatedPacket | undefined => {
  if (text.length > unauthenticatedPacketCharsMax) return undefined;
  try {
    return packet.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
};

/** From a gateway: a stranger wrote it. */
export const onStranger = (turn: Turn, text: string): void => {
  if (!turn.deps.mayStranger(turn.now)) return refuse(turn, { type: 'refused', reason: 'too-many-strangers' });
  const read = parse(text);
  if (read === undefined) return refuse(turn, { type: 'refused', reason: 'malformed-packet' });
  if (pairTagOf(read.groupId, read.source, read.destination) !== turn.key) return refuse(turn, { type: 'refused', reason: 'wrong-tag' });
  const manager = turn.deps.directory.managerHere(read.groupId, read.destination);
  if (manager === undefined) return refuse(turn, { type: 'refused', reason: 'unknown-identity', detail: 'it is for no manager of a network that lives here' });
  handOver(turn, read, manager.shortHash);
};
