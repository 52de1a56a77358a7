/** A virtual node asks to join its network. */
import * as z from 'zod';
import { registrationStatus, registrationContextMax, restToMemberRegistration, type Registration } from '../../../messages/rest-to-member.registration.ts';
import { isoTime } from '../flow-body.ts';
import { shortHash, text } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import { findVirtualNode } from '../room.ts';
import { done, jsonBody, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { dateTime, int64, stringMap } from './shapes.ts';

const tag = 'Member Registration';

const submitted = z.object({ data: stringMap }).meta({ id: 'MemberInfoSubmitted' });

const progress = z
  .object({
    availableNow: z.boolean(),
    memberInfoSubmitted: submitted,
    reason: z.string(),
    registrationId: z.string(),
    registrationSent: dateTime.nullable(),
    registrationStatus: z.string(),
  })
  .meta({ id: 'RegistrationRequestProgress' });

export const requestStatus = z
  .object({
    memberInfoSubmitted: submitted,
    reason: z.string().nullable(),
    registrationId: z.string(),
    registrationSent: dateTime.nullable(),
    registrationStatus: z.enum(registrationStatus.options),
    registrationUpdated: dateTime.nullable(),
    serial: int64.nullable(),
  })
  .meta({ id: 'RestRegistrationRequestStatus' });

const registrationRequest = z
  .object({
    context: stringMap.refine((context) => Object.keys(context).length <= registrationContextMax, `a context has at most ${registrationContextMax} entries`),
  })
  .meta({ id: 'MemberRegistrationRequest' });

export const statusBody = (registration: Registration): z.infer<typeof requestStatus> => ({
  memberInfoSubmitted: { data: registration.memberInfoSubmitted },
  reason: registration.reason,
  registrationId: registration.registrationId,
  registrationSent: isoTime(registration.registrationSent),
  registrationStatus: registration.registrationStatus,
  registrationUpdated: isoTime(registration.registrationUpdated),
  serial: registration.serial,
});

const hash = { holdingidentityshorthash: shortHash };

export const membershipRoutes = [
  route({
    method: 'POST',
    path: '/membership/{holdingidentityshorthash}',
    tag,
    summary: 'Starts the registration of a virtual node in its network',
    pathParameters: hash,
    body: jsonBody('memberRegistrationRequest', registrationRequest),
    reply: progress,
    handle: async ({ room, path, body }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { shortHash: key } = node.holdingIdentity;
      const outcome = await requests.ask(restToMemberRegistration, { key, body: { type: 'register', shortHash: key, context: body.context }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const [registration] = outcome.value.registrations;
      if (registration === undefined) throw new Error('the member worker accepted a registration without naming it');
      return done({
        availableNow: true,
        memberInfoSubmitted: { data: body.context },
        reason: 'Submitting registration request was successful.',
        registrationId: registration.registrationId,
        registrationSent: isoTime(registration.registrationSent),
        registrationStatus: 'SUBMITTED',
      });
    },
  }),
  route({
    method: 'GET',
    path: '/membership/{holdingidentityshorthash}',
    tag,
    summary: 'Lists the registrations of a virtual node',
    pathParameters: hash,
    reply: z.array(requestStatus),
    handle: async ({ room, path }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { shortHash: key } = node.holdingIdentity;
      const outcome = await requests.ask(restToMemberRegistration, { key, body: { type: 'status', shortHash: key }, timeoutMs: limits.askTimeoutMs });
      return outcome.type === 'refused' ? outcome : done(outcome.value.registrations.map(statusBody));
    },
  }),
  route({
    method: 'GET',
    path: '/membership/{holdingidentityshorthash}/{registrationrequestid}',
    tag,
    summary: 'Reads one registration of a virtual node',
    pathParameters: { ...hash, registrationrequestid: text(z.uuid('a registration request id is a UUID')) },
    reply: requestStatus,
    handle: async ({ room, path }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { shortHash: key } = node.holdingIdentity;
      const registrationId = path.registrationrequestid;
      const outcome = await requests.ask(restToMemberRegistration, { key, body: { type: 'status', shortHash: key, registrationId }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const [registration] = outcome.value.registrations;
      if (registration !== undefined) return done(statusBody(registration));
      return { type: 'refused', code: 'MEMBER_REGISTRATION_NOT_FOUND', message: `No registration of ${key} has the id ${registrationId}` };
    },
  }),
  protocolVersionRoute('membership', tag),
];
