/** Reads the context of a registration in a static network: what an operator may choose, and nothing else. */
import { specsOf, type KeyScheme } from '../../cipher/signature.ts';
import { keyScheme } from '../../messages/all-to-crypto.key.ts';
import { boundsFault, customOf, isShared, readRole, type NotaryChoice } from './context-fields.ts';

export type { NotaryChoice } from './context-fields.ts';

export type RegistrationContext = {
  readonly scheme: KeyScheme;
  readonly notary: NotaryChoice | undefined;
  /** `ext.*` fields. */
  readonly custom: Readonly<Record<string, string>>;
};

export type ParsedContext = { readonly type: 'context'; readonly context: RegistrationContext } | { readonly type: 'invalid'; readonly reason: string };

const schemeKey = 'corda.key.scheme';
const schemeDefault: KeyScheme = 'CORDA.ECDSA.SECP256R1';

const allowed = {
  isKnown: (key: string): boolean => key === schemeKey || isShared(key),
  hint: `is not a key of a static network's registration; ${schemeKey}, corda.roles.N, corda.notary.service.* and ext.* are (keys and endpoints come from the group policy)`,
};

const readScheme = (text: string | undefined): KeyScheme | undefined => {
  const scheme = keyScheme.safeParse(text ?? schemeDefault).data;
  return scheme !== undefined && specsOf(scheme).length > 0 ? scheme : undefined;
};

export const parseContext = (fields: Readonly<Record<string, string>>): ParsedContext => {
  const entries = Object.entries(fields);
  const fault = boundsFault(entries, allowed);
  if (fault !== undefined) return { type: 'invalid', reason: fault };
  const scheme = readScheme(new Map(entries).get(schemeKey));
  if (scheme === undefined) return { type: 'invalid', reason: `${schemeKey} must be a scheme that signs, for example ${schemeDefault}` };
  const role = readRole(entries);
  if (role.type === 'invalid') return role;
  return { type: 'context', context: { scheme, notary: role.type === 'none' ? undefined : role.notary, custom: customOf(entries) } };
};
