/** What an operator asks of a network's manager. */
import * as z from 'zod';
import { shortHash, stringMap, timestampMs, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';
import { registration } from './rest-to-member.registration.ts';

export const preAuthTokenStatus = z.enum(['AVAILABLE', 'REVOKED', 'CONSUMED', 'AUTO_INVALIDATED']);

export const preAuthToken = z.object({
  id: z.uuid(),
  ownerX500Name: x500Name,
  /** When it ends; `null` for never. */
  ttl: timestampMs.nullable(),
  status: preAuthTokenStatus,
  creationRemark: z.string().nullable(),
  removalRemark: z.string().nullable(),
});
export type PreAuthToken = z.infer<typeof preAuthToken>;

export const approvalRule = z.object({ ruleId: z.uuid(), ruleRegex: z.string(), ruleLabel: z.string().nullable() });
export type ApprovalRule = z.infer<typeof approvalRule>;

/** A request to join as the manager sees it. */
export const queuedRegistration = registration.extend({ x500Name });
export type QueuedRegistration = z.infer<typeof queuedRegistration>;

/** Bounds on texts of an operator, in UTF-16 code units. */
export const ruleRegexCharsMax = 1_000;
export const remarkCharsMax = 1_000;
const remark = z.string().max(remarkCharsMax);
/** Subjects of TLS client certificates that a manager allows. */
export const clientSubjectsMax = 10_000;

const rules = z.enum(['standard', 'preauth']);

export const restToMemberMgm = wire({
  topic: 'rest-to-member.mgm',
  from: ['rest'],
  to: ['member'],
  key: 'short hash of the manager',
  retention: 'log',
  version: 1,
  /**
   * Refused with MEMBER_VIRTUAL_NODE_NOT_FOUND, MEMBER_NOT_MGM, MEMBER_MGM_NOT_REGISTERED, MEMBER_REGISTRATION_NOT_FOUND,
   * MEMBER_REGISTRATION_STATUS, MEMBER_RULE_INVALID, MEMBER_RULE_EXISTS, MEMBER_RULE_NOT_FOUND, MEMBER_TOKEN_NOT_FOUND,
   * MEMBER_TOKEN_STATUS, MEMBER_NOT_FOUND, MEMBER_STATUS_SAME, MEMBER_SERIAL_STALE, MEMBER_PARAMETERS_INVALID, MEMBER_MGM_FULL, MEMBER_MGM_NOT_SET_UP.
   */
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('info'), shortHash }),
    z.object({ type: z.literal('registrations'), shortHash, x500Name: x500Name.nullable(), historic: z.boolean() }),
    z.object({ type: z.literal('approve'), shortHash, registrationId: z.uuid() }),
    z.object({ type: z.literal('decline'), shortHash, registrationId: z.uuid(), reason: remark, force: z.boolean() }),
    z.object({ type: z.literal('rules'), shortHash, rules }),
    z.object({ type: z.literal('add-rule'), shortHash, rules, regex: z.string().max(ruleRegexCharsMax), label: remark.nullable() }),
    z.object({ type: z.literal('delete-rule'), shortHash, rules, ruleId: z.string().max(100) }),
    z.object({ type: z.literal('tokens'), shortHash, x500Name: x500Name.nullable(), id: z.string().max(100).nullable(), inactive: z.boolean() }),
    z.object({ type: z.literal('add-token'), shortHash, x500Name, /** Milliseconds from now. */ ttlMs: z.number().positive().nullable(), remark: remark.nullable() }),
    z.object({ type: z.literal('revoke-token'), shortHash, id: z.string().max(100), remark: remark.nullable() }),
    z.object({ type: z.literal('set-status'), shortHash, x500Name, status: z.enum(['ACTIVE', 'SUSPENDED']), serial: z.int().nullable(), reason: remark.nullable() }),
    z.object({ type: z.literal('group-parameters'), shortHash, parameters: stringMap }),
    z.object({ type: z.literal('client-subjects'), shortHash, add: z.string().max(1_000).nullable(), remove: z.string().max(1_000).nullable() }),
  ]),
  reply: z.object({
    groupPolicy: z.string().optional(),
    registrations: z.array(queuedRegistration).optional(),
    rules: z.array(approvalRule).optional(),
    tokens: z.array(preAuthToken).optional(),
    parameters: stringMap.optional(),
    subjects: z.array(z.string()).optional(),
  }),
});
