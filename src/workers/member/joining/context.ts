/** Reads the context of a registration in a dynamic network: which keys, which endpoints, which role. */
import * as z from 'zod';
import { parseX500 } from '../../../identity/x500.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { boundsFault, customOf, isShared, readRole, type Entries, type NotaryChoice } from '../context-fields.ts';
import { numberedMax, type KeyUse } from '../peer/context-map.ts';

export type ChosenKey = { readonly use: KeyUse; readonly id: string; /** Default: the first that the key's scheme signs by. */ readonly spec: string | undefined };
export type Endpoint = { readonly url: string; readonly protocolVersion: number };

export type JoinContext = {
  readonly keys: readonly ChosenKey[];
  readonly endpoints: readonly Endpoint[];
  readonly notary: NotaryChoice | undefined;
  readonly serial: number | undefined;
  readonly token: string | undefined;
  readonly custom: Readonly<Record<string, string>>;
};

export type ParsedJoinContext = { readonly type: 'context'; readonly context: JoinContext } | { readonly type: 'invalid'; readonly reason: string };

const serialKey = 'corda.serial';
const tokenKey = 'corda.auth.token';
const keyField = /^corda\.(session|ledger|notary)\.keys\.(0|[1-9]\d{0,2})\.(id|signature\.spec)$/;
const endpointField = /^corda\.endpoints\.(0|[1-9]\d{0,2})\.(connectionURL|protocolVersion)$/;

const allowed = {
  isKnown: (key: string): boolean => key === serialKey || key === tokenKey || keyField.test(key) || endpointField.test(key) || isShared(key),
  hint:
    'is not a key of a registration; corda.session.keys.N.id, corda.ledger.keys.N.id, corda.notary.keys.N.id (each with .signature.spec), ' +
    'corda.endpoints.N.connectionURL and .protocolVersion, corda.roles.N, corda.notary.service.*, corda.serial, corda.auth.token and ext.* are',
};

/** The numbered things of a pattern, in order, or `undefined` when a number is left out. */
const numberedParts = (entries: Entries, pattern: RegExp, group: number): readonly ReadonlyMap<string, string>[] | undefined => {
  const found = new Map<number, Map<string, string>>();
  for (const [key, value] of entries) {
    const match = pattern.exec(key);
    if (match === null) continue;
    const index = Number(match[group]);
    const fields = found.get(index) ?? new Map<string, string>();
    fields.set(match[group + 1]!, value);
    found.set(index, fields);
  }
  const listed = Array.from({ length: found.size }, (_, index) => found.get(index));
  return listed.length <= numberedMax && listed.every((fields) => fields !== undefined) ? listed : undefined;
};

const keyIdPattern = /^[0-9A-F]{12}$/;

const readKeys = (entries: Entries, use: KeyUse): readonly ChosenKey[] | string => {
  const own = entries.filter(([key]) => key.startsWith(`corda.${use}.keys.`));
  const listed = numberedParts(own, keyField, 2);
  if (listed === undefined) return `corda.${use}.keys.N count from 0 without a gap, ${numberedMax} at most`;
  const keys: ChosenKey[] = [];
  for (const [n, fields] of listed.entries()) {
    const id = fields.get('id') ?? '';
    const spec = fields.get('signature.spec');
    if (!keyIdPattern.test(id)) return `corda.${use}.keys.${n}.id must be the 12 hex digits that POST /key answered with`;
    if (spec !== undefined && !signatureSpec.safeParse(spec).success) return `corda.${use}.keys.${n}.signature.spec is none of ${signatureSpec.options.join(', ')}`;
    if (keys.some((key) => key.id === id)) return `corda.${use}.keys name the key ${id} twice`;
    keys.push({ use, id, spec });
  }
  return keys;
};

/** Corda's rule: an https URL with host and port. */
export const endpointFault = (url: string): string | undefined => {
  if (url.length > 2_000 || !URL.canParse(url)) return 'is not a URL';
  const { protocol, username, password, hostname, hash, search } = new URL(url);
  if (protocol !== 'https:') return 'must begin with https://';
  if (username !== '' || password !== '' || hash !== '' || search !== '') return 'must have no user, password, query or fragment';
  const port = /^https:\/\/(?:\[[0-9a-fA-F:.]+\]|[^/:@[\]]+):(\d{1,5})(?:\/|$)/.exec(url)?.[1];
  if (hostname === '' || port === undefined || Number(port) < 1 || Number(port) > 65_535) return 'must name a host and a port from 1 to 65535';
  return undefined;
};

export const readEndpoints = (entries: Entries): readonly Endpoint[] | string => {
  const listed = numberedParts(entries, endpointField, 1);
  if (listed === undefined || listed.length === 0) return `corda.endpoints.N count from 0 without a gap, ${numberedMax} at most, and there must be one`;
  const endpoints: Endpoint[] = [];
  for (const [n, fields] of listed.entries()) {
    const url = fields.get('connectionURL') ?? '';
    const version = fields.get('protocolVersion') ?? '';
    const fault = endpointFault(url);
    if (fault !== undefined) return `corda.endpoints.${n}.connectionURL ${fault}`;
    if (!/^[1-9]\d{0,4}$/.test(version)) return `corda.endpoints.${n}.protocolVersion must be a positive integer`;
    if (endpoints.some((endpoint) => endpoint.url === url)) return `corda.endpoints name ${url} twice`;
    endpoints.push({ url, protocolVersion: Number(version) });
  }
  return endpoints;
};

type Keys = Readonly<Record<KeyUse, readonly ChosenKey[]>>;

const readAllKeys = (entries: Entries): Keys | string => {
  const [session, ledger, notary] = [readKeys(entries, 'session'), readKeys(entries, 'ledger'), readKeys(entries, 'notary')];
  if (typeof session === 'string') return session;
  if (typeof ledger === 'string') return ledger;
  if (typeof notary === 'string') return notary;
  return session.length === 0 ? 'corda.session.keys.0.id is missing: the key that signs handshakes' : { session, ledger, notary };
};

const roleFault = (keys: Keys, isNotary: boolean): string | undefined => {
  if (!isNotary) return keys.notary.length > 0 ? 'corda.notary.keys are for notaries: corda.roles.0 must be "notary" then' : undefined;
  if (keys.notary.length === 0) return 'corda.notary.keys.0.id is missing: a notary signs with a key of its own';
  return keys.ledger.length > 0 ? 'a notary has no ledger keys: leave out corda.ledger.keys' : undefined;
};

export const parseJoinContext = (fields: Readonly<Record<string, string>>, ownName: string): ParsedJoinContext => {
  const invalid = (reason: string): ParsedJoinContext => ({ type: 'invalid', reason });
  const entries = Object.entries(fields);
  const fault = boundsFault(entries, allowed);
  if (fault !== undefined) return invalid(fault);
  const keys = readAllKeys(entries);
  if (typeof keys === 'string') return invalid(keys);
  const endpoints = readEndpoints(entries);
  if (typeof endpoints === 'string') return invalid(endpoints);
  // The keys of a notary begin as its service's fields do.
  const role = readRole(entries.filter(([key]) => !keyField.test(key)));
  if (role.type === 'invalid') return role;
  const notary = role.type === 'none' ? undefined : role.notary;
  const unfit = roleFault(keys, notary !== undefined);
  if (unfit !== undefined) return invalid(unfit);
  if (notary?.serviceName === ownName) return invalid('corda.notary.service.name is the name of the member itself; a service needs a name of its own');
  const serial = fields[serialKey];
  if (serial !== undefined && !/^(0|[1-9]\d{0,14})$/.test(serial)) return invalid(`${serialKey} must be a whole number: the serial that the member list shows for this member`);
  const token = fields[tokenKey];
  if (token !== undefined && !z.uuid().safeParse(token).success) return invalid(`${tokenKey} must be the id of a pre-auth token, a UUID`);
  return {
    type: 'context',
    context: {
      keys: [...keys.session, ...keys.ledger, ...keys.notary], endpoints, notary, token, custom: customOf(entries),
      serial: serial === undefined ? undefined : Number(serial),
    },
  };
};

/** A name in its canonical spelling, or `undefined`. */
export const canonicalName = (text: string): string | undefined => {
  const parsed = parseX500(text);
  return parsed.type === 'name' ? parsed.name : undefined;
};
