/**
 * Whose TLS client certificates a cluster's gateway lets in, with mutual TLS: of the members that this cluster knows, and of those that the
 * manager of a network here allows. One record for each, so that it is taken back by itself.
 */
import * as z from 'zod';
import { groupId } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const clientSubject = z.object({
  groupId,
  /** As `distinguishedName` spells it; `null` in a network that nobody manages: whoever chains to its trust roots. */
  subject: z.string().max(1_000).nullable(),
});
export type ClientSubject = z.infer<typeof clientSubject>;

export const memberToGatewayClientSubject = wire({
  topic: 'member-to-gateway.client-subject',
  from: ['member'],
  to: ['gateway'],
  key: '`<group id>/member/<X.500 name>`, `<group id>/allowed/<hash of the subject>` or `<group id>/any`',
  retention: 'compacted',
  version: 1,
  body: clientSubject,
});
