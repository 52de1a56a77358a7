/** What the registration contexts of all kinds of network share: bounds, numbered fields, and what a notary says of itself. */
import { parseX500, type X500Name } from '../../identity/x500.ts';
import { contextCharsMax, contextKeyCharsMax, contextValueCharsMax, customFieldsMax, registrationContextMax } from './config.ts';

export type NotaryChoice = {
  readonly serviceName: X500Name;
  readonly protocolName: string;
  readonly protocolVersions: readonly number[];
  readonly backchainRequired: boolean;
};

export type Entries = readonly (readonly [string, string])[];

const serviceKey = 'corda.notary.service.name';
const protocolKey = 'corda.notary.service.flow.protocol.name';
const backchainKey = 'corda.notary.service.backchain.required';
const versionKey = /^corda\.notary\.service\.flow\.protocol\.version\.(0|[1-9]\d{0,2})$/;
const roleKey = /^corda\.roles\.(0|[1-9]\d{0,2})$/;

/** Roles, notary services and `ext.*`: what a member of any network may say of itself. */
export const isShared = (key: string): boolean =>
  [serviceKey, protocolKey, backchainKey].includes(key) || versionKey.test(key) || roleKey.test(key) || key.startsWith('ext.');

export type Allowed = { readonly isKnown: (key: string) => boolean; readonly hint: string; /** Values that may be longer (certificates). */ readonly valueCharsMax?: (key: string) => number };

export const boundsFault = (entries: Entries, { isKnown, hint, valueCharsMax = () => contextValueCharsMax }: Allowed): string | undefined => {
  if (entries.length > registrationContextMax) return `the context has ${entries.length} entries; ${registrationContextMax} are the most`;
  const chars = entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (chars > contextCharsMax) return `the context is ${chars} characters long; ${contextCharsMax} are the most`;
  if (entries.filter(([key]) => key.startsWith('ext.')).length > customFieldsMax) return `more than ${customFieldsMax} custom fields`;
  for (const [key, value] of entries) {
    if (key.length > contextKeyCharsMax) return `the key ${JSON.stringify(key.slice(0, 60))}… is longer than ${contextKeyCharsMax} characters`;
    if (value.length > valueCharsMax(key)) return `the value of ${key} is longer than ${valueCharsMax(key)} characters`;
    if (!isKnown(key)) return `${JSON.stringify(key)} ${hint}`;
  }
  return undefined;
};

/** Values of `<prefix>.0`, `<prefix>.1` …, or a complaint when a number is left out. */
export const numbered = (entries: Entries, pattern: RegExp): readonly string[] | undefined => {
  const values = new Map<number, string>();
  for (const [key, value] of entries) {
    const index = pattern.exec(key)?.[1];
    if (index !== undefined) values.set(Number(index), value);
  }
  const listed = Array.from({ length: values.size }, (_, index) => values.get(index));
  return listed.every((value) => value !== undefined) ? listed : undefined;
};

const readVersions = (texts: readonly string[] | undefined): readonly number[] | undefined => {
  const versions = texts?.map(Number);
  return versions?.every((version) => Number.isSafeInteger(version) && version > 0) === true ? versions : undefined;
};

export type Notary = { readonly type: 'notary'; readonly notary: NotaryChoice } | { readonly type: 'invalid'; readonly reason: string };

const readService = (fields: ReadonlyMap<string, string>): Notary => {
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

/** The notary service that a context names by its role; `undefined` for none. */
export const readRole = (entries: Entries): Notary | { readonly type: 'none' } => {
  const roles = numbered(entries, roleKey);
  if (roles === undefined || roles.some((role) => role !== 'notary') || roles.length > 1) {
    return { type: 'invalid', reason: 'corda.roles.0 may be "notary"; there is no other role' };
  }
  if (roles.length > 0) return readService(new Map(entries));
  const stray = entries.find(([key]) => key.startsWith('corda.notary.'))?.[0];
  return stray === undefined ? { type: 'none' } : { type: 'invalid', reason: `${stray} is for notaries: corda.roles.0 must be "notary" then` };
};

export const customOf = (entries: Entries): Record<string, string> => Object.fromEntries(entries.filter(([key]) => key.startsWith('ext.')));
