/** Keys of a tenant: made, listed, shown in PEM. Private keys stay in the crypto room. */
import * as z from 'zod';
import { fromBase64url } from '../../../cipher/bytes.ts';
import { encodePem } from '../../../cipher/pem.ts';
import { allToCryptoKey, hsmCategory, keyAlias, keyId, keyIdsMax, keyScheme, keysFoundMax, type KeyOrder, type KeyScheme, type PublicKeyInfo } from '../../../messages/all-to-crypto.key.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { isoTime } from '../flow-body.ts';
import { integerOr, optionalText, text, textOr, texts, wordOf } from '../parameter.ts';
import { refuse } from '../refusal.ts';
import { done, route } from '../routing/routing.ts';
import { categoryName, readCategory, tenantId } from './hsm.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { dateTime } from './shapes.ts';

const tag = 'Key Management';

export const keyIdParameter = text(z.string().regex(/^[0-9a-fA-F]{12}$/, 'a key id has 12 hex digits').transform((given) => given.toUpperCase()));

const keyMetaData = z
  .object({ alias: z.string(), created: dateTime, hsmCategory: z.string(), keyId: z.string(), masterKeyAlias: z.string().nullable(), scheme: z.string() })
  .meta({ id: 'KeyMetaData' });
const keyPairIdentifier = z.object({ id: z.string() }).meta({ id: 'KeyPairIdentifier' });

const keyBody = ({ id, alias, category, scheme, masterKeyAlias, createdAt }: PublicKeyInfo): z.infer<typeof keyMetaData> => ({
  alias,
  created: isoTime(createdAt),
  hsmCategory: category,
  keyId: id,
  masterKeyAlias,
  scheme,
});

// ── Filters, order and page: Corda's words ───────────────────────────────────────────────────────────────────────────

const orders: Readonly<Record<string, KeyOrder['by']>> = {
  NONE: 'age',
  TIMESTAMP: 'age',
  ID: 'id',
  ALIAS: 'alias',
  CATEGORY: 'category',
  SCHEME_CODE_NAME: 'scheme',
  MASTER_KEY_ALIAS: 'masterKeyAlias',
  // No key of ours has one: it leaves the order as it is.
  EXTERNAL_ID: 'age',
};

const orderText: z.ZodType<KeyOrder, string> = z.string().transform((given, context) => {
  const name = given.toUpperCase();
  const descending = name.endsWith('_DESC');
  const plain = descending ? name.slice(0, -'_DESC'.length) : name;
  if (Object.hasOwn(orders, plain)) return { by: orders[plain]!, descending: descending && plain !== 'NONE' && plain !== 'EXTERNAL_ID' };
  context.addIssue({ code: 'custom', message: `it must be one of ${Object.keys(orders).join(', ')}, each with _DESC or without` });
  return z.NEVER;
});

const instantText: z.ZodType<number, string> = z.iso.datetime({ offset: true, error: 'it is not an ISO 8601 instant' }).transform((given) => Date.parse(given));

const filters = {
  skip: integerOr(0, { min: 0, max: 2_147_483_647 }),
  take: integerOr(20, { min: 0, max: keysFoundMax }),
  orderby: textOr<KeyOrder>({ by: 'age', descending: false }, orderText),
  category: optionalText(wordOf(hsmCategory, hsmCategory.options)),
  schemecodename: optionalText(wordOf(keyScheme, keyScheme.options)),
  alias: optionalText(keyAlias),
  masterkeyalias: optionalText(z.string().max(255)),
  createdafter: optionalText(instantText),
  createdbefore: optionalText(instantText),
  id: texts({ schema: z.string().transform((given) => given.toUpperCase()).pipe(keyId), countMax: keyIdsMax, nullable: true }),
};

// ── Schemes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Schemes of Corda that no runtime's cryptography and no audited library has, and why nobody should miss them. */
const schemesNotSupported: Readonly<Record<string, string>> = {
  'CORDA.SM2': 'no audited implementation of SM2 and SM3 runs on all runtimes that Cordage runs on',
  'CORDA.GOST3410.GOST3411': 'no audited implementation of GOST R 34.10 and 34.11 runs on all runtimes that Cordage runs on',
  'CORDA.SPHINCS-256': 'SPHINCS-256 was superseded by SLH-DSA (FIPS 205), and is kept by no library',
  COMPOSITE: 'a composite key is made of other keys and has no private key of its own',
};

const readScheme = (given: string): KeyScheme | Refusal => {
  const scheme = keyScheme.options.find((one) => one === given.toUpperCase());
  if (scheme !== undefined) return scheme;
  const reason = schemesNotSupported[given.toUpperCase()] ?? 'there is no such scheme';
  const supported = keyScheme.options.join(', ');
  return refuse('REST_KEY_SCHEME_UNSUPPORTED', `Keys of scheme ${given} cannot be made: ${reason}. Supported are ${supported}`, { scheme: given, reason, supported });
};

export const keyRoutes = [
  route({
    method: 'POST',
    path: '/key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}',
    pathInV1: '/keys/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}',
    tag,
    summary: 'Makes a key pair',
    pathParameters: { tenantid: tenantId, alias: text(keyAlias), hsmcategory: categoryName, scheme: text(z.string().max(100)) },
    reply: keyPairIdentifier,
    handle: async ({ room, path }) => {
      const category = readCategory(path.hsmcategory);
      if (typeof category !== 'string') return category;
      const scheme = readScheme(path.scheme);
      if (typeof scheme !== 'string') return scheme;
      const { requests, limits } = room;
      const { tenantid: tenant, alias } = path;
      const outcome = await requests.ask(allToCryptoKey, { key: tenant, body: { type: 'generate', tenant, alias, category, scheme, isNew: true }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const [key] = outcome.value.keys;
      if (key === undefined) throw new Error('the crypto worker made a key without naming it');
      return done({ id: key.id });
    },
  }),
  route({
    method: 'GET',
    path: '/key/{tenantid}',
    pathInV1: '/keys/{tenantid}',
    tag,
    summary: 'Lists the keys of a tenant',
    pathParameters: { tenantid: tenantId },
    queryParameters: filters,
    reply: z.record(z.string(), keyMetaData),
    handle: async ({ room, path, query }) => {
      const { requests, limits } = room;
      const { skip, take, orderby, category, schemecodename, alias, masterkeyalias, createdafter, createdbefore, id } = query;
      const { tenantid: tenant } = path;
      const given = { ids: id.length === 0 ? undefined : [...id], alias, category, scheme: schemecodename, masterKeyAlias: masterkeyalias, createdFrom: createdafter, createdTo: createdbefore };
      const outcome = await requests.ask(allToCryptoKey, { key: tenant, body: { type: 'find', tenant, ...given, order: orderby, skip, take }, timeoutMs: limits.askTimeoutMs });
      return outcome.type === 'refused' ? outcome : done(Object.fromEntries(outcome.value.keys.map((key) => [key.id, keyBody(key)])));
    },
  }),
  route({
    method: 'GET',
    path: '/key/{tenantid}/schemes/{hsmcategory}',
    pathInV1: '/keys/{tenantid}/schemes/{hsmcategory}',
    tag,
    summary: 'Lists the schemes of which keys can be made',
    pathParameters: { tenantid: tenantId, hsmcategory: categoryName },
    reply: z.array(z.string()),
    handle: async ({ path }) => {
      const category = readCategory(path.hsmcategory);
      return typeof category === 'string' ? done([...keyScheme.options]) : category;
    },
  }),
  route({
    method: 'GET',
    path: '/key/{tenantid}/{keyid}',
    pathInV1: '/keys/{tenantid}/{keyid}',
    tag,
    summary: 'Reads a public key, in PEM',
    pathParameters: { tenantid: tenantId, keyid: keyIdParameter },
    reply: z.string(),
    handle: async ({ room, path }) => {
      const { requests, limits } = room;
      const { tenantid: tenant, keyid: id } = path;
      const outcome = await requests.ask(allToCryptoKey, { key: tenant, body: { type: 'find', tenant, ids: [id] }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const [key] = outcome.value.keys;
      if (key === undefined) return refuse('REST_KEY_UNKNOWN', `Key ${id} of tenant ${tenant} not found`);
      return done(encodePem('PUBLIC KEY', fromBase64url(key.publicKey)));
    },
  }),
  protocolVersionRoute('key', tag, 'keys'),
];
