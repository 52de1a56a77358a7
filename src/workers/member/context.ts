/** Reads the context of a registration in a static network: what an operator may choose, and nothing else. */
import { specsOf, type KeyScheme } from '../../cipher/signature.ts';
import { parseX500, type X500Name } from '../../identity/x500.ts';
import { keyScheme } from '../../messages/all-to-crypto.key.ts';
import { contextCharsMax, contextKeyCharsMax, contextValueCharsMax, customFieldsMax, registrationContextMax } from './config.ts';

export type NotaryChoice = {
  readonly serviceName: X500Name;
  readonly protocolName: string;
  readonly protocolVersions: readonly number[];
  readonly backchainRequired: boolean;
};

export type RegistrationContext = {
  readonly scheme: KeyScheme;
  readonly notary: NotaryChoice | undefined;
  /** `ext.*` fields. */
  readonly custom: Readonly<Record<string, string>>;
};

export type ParsedContext = { readonly type: 'context'; readonly context: RegistrationContext } | { readonly type: 'invalid'; readonly reason: string };

const schemeKey = 'corda.key.scheme';
const serviceKey = 'corda.notary.service.name';
const protocolKey = 'corda.notary.service.flow.protocol.name';
const backchainKey = 'corda.notary.service.backchain.required';
const versionKey = /^corda\.notary\.service\.flow\.protocol\.version\.(0|[1-9]\d{0,2})$/;
const roleKey = /^corda\.roles\.(0|[1-9]\d{0,2})$/;

const schemeDefault: KeyScheme = 'CORDA.ECDSA.SECP256R1';

const isKnown = (key: string): boolean =>
  [schemeKey, serviceKey, protocolKey, backchainKey].includes(key) || versionKey.test(key) || roleKey.test(key) || key.startsWith('ext.');

const boundsFault = (entries: readonly (readonly [string, string])[]): string | undefined => {
  if (entries.length > registrationContextMax) return `the context has ${entries.length} entries; ${registrationContextMax} are the most`;
  const chars = entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (chars > contextCharsMax) return `the context is ${chars} characters long; ${contextCharsMax} are the most`;
  if (entries.filter(([key]) => key.startsWith('ext.')).length > customFieldsMax) return `more than ${customFieldsMax} custom fields`;
  for (const [key, value] of entries) {
    if (key.length > contextKeyCharsMax) return `the key ${JSON.stringify(key.slice(0, 60))}… is longer than ${contextKeyCharsMax} characters`;
    if (value.length > contextValueCharsMax) return `the value of ${key} is longer than ${contextValueCharsMax} characters`;
    if (!isKnown(key)) {
      return `${JSON.stringify(key)} is not a key of a static network's registration; ${schemeKey}, corda.roles.N, corda.notary.service.* and ext.* are (keys and endpoints come from the group policy)`;
    }
  }
  return undefined;
};

/** Values of `<prefix>.0`, `<prefix>.1` …, or a complaint when a number is left out. */
const numbered = (entries: readonly (readonly [string, string])[], pattern: RegExp): readonly string[] | undefined => {
  const values = new Map<number, string>();
  for (const [key, value] of entries) {
    const index = pattern.exec(key)?.[1];
    if (index !== undefined) values.set(Number(index), value);
  }
  const listed = Array.from({ length: values.size }, (_, index) => values.get(index));
  return listed.every((value) => value !== undefined) ? listed : undefined;
};

const readScheme = (text: string | undefined): KeyScheme | undefined => {
  const scheme = keyScheme.safeParse(text ?? schemeDefault).data;
  return scheme !== undefined && specsOf(scheme).length > 0 ? scheme : undefined;
};

const readVersions = (texts: readonly string[] | undefined): readonly number[] | undefined => {
  const versions = texts?.map(Number);
  return versions?.every((version) => Number.isSafeInteger(version) && version > 0) === true ? versions : undefined;
};

type Notary = { readonly type: 'notary'; readonly notary: NotaryChoice } | { readonly type: 'invalid'; readonly reason: string };

const readNotary = (fields: ReadonlyMap<string, string>): Notary => {
  const invalid = (reason: string): Notary => ({ type: 'invalid', reason });
  const service = parseX500(fields.get(serviceKey) ?? '');
  if (service.type === 'invalid') return invalid(`${serviceKey} must be the X.500 name of the notary service: ${service.reason}`);
  const protocolName = fields.get(protocolKey) ?? '';
  if (protocolName === '') return invalid(`${protocolKey} is missing: a notary says which protocol it speaks`);
  const protocolVersions = readVersions(numbered([...fields], versionKey));
  if (protocolVersions === undefined) return invalid('corda.notary.service.flow.protocol.version.N must be positive integers, numbered from 0 without a gap');
  const backchain = fields.get(backchainKey) ?? 'true';
  if (backchain !== 'true' && backchain !== 'false') return invalid(`${backchainKey} must be true or false`);
  return { type: 'notary', notary: { serviceName: service.name, protocolName, protocolVersions, backchainRequired: backchain === 'true' } };
};

export const parseContext = (fields: Readonly<Record<string, string>>): ParsedContext => {
  const entries = Object.entries(fields);
  const fault = boundsFault(entries);
  if (fault !== undefined) return { type: 'invalid', reason: fault };
  const map = new Map(entries);
  const scheme = readScheme(map.get(schemeKey));
  if (scheme === undefined) return { type: 'invalid', reason: `${schemeKey} must be a scheme that signs, for example ${schemeDefault}` };
  const custom = Object.fromEntries(entries.filter(([key]) => key.startsWith('ext.')));
  const roles = numbered(entries, roleKey);
  if (roles === undefined || roles.some((role) => role !== 'notary') || roles.length > 1) {
    return { type: 'invalid', reason: 'corda.roles.0 may be "notary"; there is no other role' };
  }
  if (roles.length === 0) {
    const stray = entries.find(([key]) => key.startsWith('corda.notary.'))?.[0];
    if (stray !== undefined) return { type: 'invalid', reason: `${stray} is for notaries: corda.roles.0 must be "notary" then` };
    return { type: 'context', context: { scheme, notary: undefined, custom } };
  }
  const notary = readNotary(map);
  return notary.type === 'invalid' ? notary : { type: 'context', context: { scheme, notary: notary.notary, custom } };
};
