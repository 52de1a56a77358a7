/** The keys of a registration: which it needs, under which aliases, and how crypto is asked for them. */
import { allToCryptoKey, type PublicKeyInfo } from '../../messages/all-to-crypto.key.ts';
import { allToMemberAnswer } from '../../messages/all-to-member.answer.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { RegistrationContext } from './context.ts';

export type KeySlot = { readonly category: 'SESSION_INIT' | 'LEDGER' | 'NOTARY'; readonly alias: string };
export type KeySlots = { readonly session: KeySlot; /** The ledger key, or a notary's. */ readonly second: KeySlot };

export const slotsOf = (shortHash: string, { notary }: RegistrationContext): KeySlots => ({
  session: { category: 'SESSION_INIT', alias: `${shortHash}-session` },
  second: notary === undefined ? { category: 'LEDGER', alias: `${shortHash}-ledger` } : { category: 'NOTARY', alias: `${shortHash}-notary` },
});

export const keyIn = (keys: readonly PublicKeyInfo[], { alias }: KeySlot): PublicKeyInfo | undefined => keys.find((key) => key.alias === alias);

type Request = { readonly id: string; readonly record: OutRecord };

const ask = (tenant: string, id: string, body: BodyOf<typeof allToCryptoKey>): Request => ({
  id,
  record: encode(allToCryptoKey, { key: tenant, id, body, replyTo: { topic: allToMemberAnswer.topic, key: tenant } }),
});

export type KeyRequest = { readonly tenant: string; readonly registrationId: string; readonly slots: readonly KeySlot[] };

/** The soft HSM is assigned in the same breath: whichever key is made next finds it so. */
export const findKeys = ({ tenant, registrationId, slots }: KeyRequest): Request[] =>
  slots.flatMap(({ category, alias }) => [
    ask(tenant, `${registrationId}/assign/${category}`, { type: 'assign-hsm', tenant, category }),
    ask(tenant, `${registrationId}/find/${category}`, { type: 'find', tenant, alias }),
  ]);

export const makeKeys = ({ tenant, registrationId, slots }: KeyRequest, { scheme }: RegistrationContext): Request[] =>
  slots.map(({ category, alias }) => ask(tenant, `${registrationId}/generate/${category}`, { type: 'generate', tenant, alias, category, scheme }));
