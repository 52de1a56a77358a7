/** The door of this folder: every section of the configuration, Corda's names, and how a section is read. */
import * as z from 'zod';
import { cryptoSection } from './crypto.ts';
import { section, type SectionDeclaration } from './field.ts';
import { flowSection } from './flow.ts';
import { membershipSection } from './membership.ts';
import { gatewaySection, linkManagerSection } from './p2p.ts';
import { rbacSection, restSection } from './rest.ts';

export { configSecret, type ConfigSecret } from './field.ts';
export { tokenAlgorithms } from './rest.ts';

/** A section of Corda's in which nothing can be set here; `fields` are Corda's. */
const without = (says: string, fields: readonly string[]) => section({ says, schema: z.strictObject({}), ignored: Object.fromEntries(fields.map((field) => [field, says])) });

export const sections = {
  'corda.crypto': cryptoSection,
  'corda.db': without('The database is named by DATABASE_URL.', ['database']),
  'corda.externalMessaging': without('Flows do not send to topics of others.', ['routeDefaults']),
  'corda.flow': flowSection,
  'corda.ledger.utxo': without('There is no token cache to be tuned.', ['tokens', 'backchain', 'repair']),
  'corda.membership': membershipSection,
  'corda.messaging': without('The bus is named by CORDAGE_BUS_URL; its bounds are fixed.', ['bus', 'subscription', 'publisher', 'maxAllowedMessageSize', 'mediator']),
  'corda.p2p.gateway': gatewaySection,
  'corda.p2p.linkManager': linkManagerSection,
  'corda.rbac': rbacSection,
  'corda.reconciliation': without('What db keeps is compared with the bus when it starts; nothing is polled.', [
    'permissionSummaryIntervalMs', 'cpkWriteIntervalMs', 'cpiInfoIntervalMs', 'vnodeInfoIntervalMs', 'configIntervalMs', 'groupParamsIntervalMs',
    'mtlsMgmAllowedCertificateSubjectsIntervalMs', 'memberInfoIntervalMs', 'hostedIdentityIntervalMs',
  ]),
  'corda.rest': restSection,
  'corda.sandbox': without('Sandboxes are bounded by memory.', ['flow', 'persistence', 'verification']),
  'corda.secrets': without('Secrets are encrypted with CORDAGE_CONFIG_PASSPHRASE.', ['type', 'passphrase', 'salt']),
  'corda.security': without('What code may do is fixed.', ['policy']),
  'corda.stateManager': without('States are in the database that DATABASE_URL names.', ['flowCheckpoint', 'flowMapping', 'flowStatus', 'keyRotation', 'p2pSession', 'tokenPoolCache']),
  'corda.vnode.datasource': without('Pools have fixed bounds.', ['pool']),
} as const;

export type SectionName = keyof typeof sections;
export type SectionValues = { readonly [Name in SectionName]: z.output<(typeof sections)[Name]['schema']> };

// The keys of an object literal.
export const sectionNames = Object.keys(sections) as readonly SectionName[];
export const isSectionName = (name: string): name is SectionName => Object.hasOwn(sections, name);

/** The only one there is, as in Corda. */
export const configSchemaVersion = { major: 1, minor: 0 } as const;

/** UTF-16 code units of a section's source: it travels in one record, and an honest one has a few hundred. */
export const configCharsMax = 100_000;

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The one over the other: what stands in neither is left to the defaults. */
const overlay = (below: Json, above: Json): Json => {
  // Without a prototype, so that no name of a field is more than a name.
  const merged: Record<string, unknown> = Object.assign(Object.create(null), below);
  for (const [name, value] of Object.entries(above)) {
    const under = Object.hasOwn(below, name) ? below[name] : undefined;
    merged[name] = isObject(under) && isObject(value) ? overlay(under, value) : value;
  }
  return merged;
};

/** The object without what stands at the path; the same object where nothing does. */
const removePath = (value: Json, [first = '', ...rest]: readonly string[]): Json => {
  if (!Object.hasOwn(value, first)) return value;
  const { [first]: inner, ...others } = value;
  if (rest.length === 0) return others;
  if (!isObject(inner)) return value;
  const less = removePath(inner, rest);
  return less === inner ? value : { ...others, [first]: less };
};

export type ReadSection<Value> =
  /** `ignored`: paths that Corda has and that mean nothing here, with why. */
  | { readonly type: 'read'; readonly value: Value; readonly ignored: Readonly<Record<string, string>> }
  /** From the path to what is wrong there. */
  | { readonly type: 'invalid'; readonly details: Readonly<Record<string, string>> };

/** Reasons named in one refusal. */
const issuesMax = 20;

const detailsOf = (error: z.ZodError): Record<string, string> =>
  Object.fromEntries(
    error.issues.slice(0, issuesMax).flatMap((issue) => {
      const path = issue.path.map(String);
      if (issue.code !== 'unrecognized_keys') return [[path.join('.') || 'config', issue.message]];
      return issue.keys.slice(0, issuesMax).map((key) => [[...path, key].join('.').slice(0, 300), 'there is no such field']);
    }),
  );

/**
 * The section in force: what `source` says, below it what the process was started with, below that the defaults. What
 * `source` says and Corda alone has is left out and told.
 */
export const readSection = <Name extends SectionName>(name: Name, source: unknown, start: Json = {}): ReadSection<SectionValues[Name]> => {
  if (!isObject(source)) return { type: 'invalid', details: { config: 'it must be a JSON object' } };
  // Every declaration has this type; which one it is only the caller's types know.
  const { schema, ignored } = sections[name] as unknown as SectionDeclaration<z.ZodType<SectionValues[Name]>>;
  let rest: Json = source;
  const met: Record<string, string> = {};
  for (const [path, why] of Object.entries(ignored)) {
    const less = removePath(rest, path.split('.'));
    if (less !== rest) met[path] = why;
    rest = less;
  }
  const parsed = schema.safeParse(overlay(start, rest));
  return parsed.success ? { type: 'read', value: parsed.data, ignored: met } : { type: 'invalid', details: detailsOf(parsed.error) };
};
