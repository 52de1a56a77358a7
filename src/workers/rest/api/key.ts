/** Keys of a tenant: made, listed, shown in PEM. Private keys stay in the crypto room. */
import * as z from 'zod';
import { fromBase64url } from '../../../cipher/bytes.ts';
import { encodePem } from '../../../cipher/pem.ts';
import { allToCryptoKey, hsmCategory, keyAlias, keyId, keyIdsMax, keyScheme, type PublicKeyInfo } from '../../../messages/all-to-crypto.key.ts';
import { isoTime } from '../flow-body.ts';
import { integerOr, optionalText, text, textOr, texts, wordOf } from '../parameter.ts';
import { refuse } from '../refusal.ts';
import { done, route } from '../routing/routing.ts';
import { categoryName, readCategory, tenantId } from './hsm.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { dateTime } from './shapes.ts';

const tag = 'Key Management';

const keyMetaData = z
  .object({ alias: z.string(), created: dateTime, hsmCategory: z.string(), keyId: z.string(), masterKeyAlias: z.string().nullable(), scheme: z.string() })
  .meta({ id: 'KeyMetaData' });
const keyPairIdentifier = z.object({ id: z.string() }).meta({ id: 'KeyPairIdentifier' });

const keyBody = ({ id, alias, category, scheme, createdAt }: PublicKeyInfo): z.infer<typeof keyMetaData> => ({
  alias,
  created: isoTime(createdAt),
  hsmCategory: category,
  keyId: id,
  masterKeyAlias: null,
  scheme,
});

// ── Filters, order and page: Corda's words ───────────────────────────────────────────────────────────────────────────

const sortKeys: Readonly<Record<string, (key: PublicKeyInfo) => string>> = {
  NONE: () => '',
  ID: ({ id }) => id,
  ALIAS: ({ alias }) => alias,
  CATEGORY: ({ category }) => category,
  SCHEME_CODE_NAME: ({ scheme }) => scheme,
  // Fixed width, so that text order is time order.
  TIMESTAMP: ({ createdAt }) => String(createdAt).padStart(16, '0'),
  // Of ours no key has one of these: they leave the order as it is.
  MASTER_KEY_ALIAS: () => '',
  EXTERNAL_ID: () => '',
};

type Order = { readonly by: (key: PublicKeyInfo) => string; readonly descending: boolean };

const orderText: z.ZodType<Order, string> = z.string().transform((given, context) => {
  const name = given.toUpperCase();
  const descending = name.endsWith('_DESC');
  const plain = descending ? name.slice(0, -'_DESC'.length) : name;
  if (Object.hasOwn(sortKeys, plain)) return { by: sortKeys[plain]!, descending };
  context.addIssue({ code: 'custom', message: `it must be one of ${Object.keys(sortKeys).join(', ')}, each with _DESC or without` });
  return z.NEVER;
});

const instantText: z.ZodType<number, string> = z.iso.datetime({ offset: true, error: 'it is not an ISO 8601 instant' }).transform((given) => Date.parse(given));

const inOrder = (keys: readonly PublicKeyInfo[], { by, descending }: Order): PublicKeyInfo[] =>
  keys.toSorted((one, other) => {
    const [a, b] = [by(one), by(other)];
    return a === b ? 0 : a < b === !descending ? -1 : 1;
  });

const keysTakenMax = 1_000;
const count = { min: 0, max: 2_147_483_647 };

const filters = {
  skip: integerOr(0, count),
  take: integerOr(20, { min: 0, max: keysTakenMax }),
  orderby: textOr<Order>({ by: sortKeys['NONE']!, descending: false }, orderText),
  category: optionalText(wordOf(hsmCategory, hsmCategory.options)),
  schemecodename: optionalText(wordOf(keyScheme, keyScheme.options)),
  alias: optionalText(keyAlias),
  masterkeyalias: optionalText(z.string().max(255)),
  createdafter: optionalText(instantText),
  createdbefore: optionalText(instantText),
  id: texts({ schema: z.string().transform((given) => given.toUpperCase()).pipe(keyId), countMax: keyIdsMax, nullable: true }),
};

export const keyRoutes = [
  route({
    method: 'POST',
    path: '/key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}',
    pathInV1: '/keys/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}',
    tag,
    summary: 'Makes a key pair',
    pathParameters: { tenantid: tenantId, alias: text(keyAlias), hsmcategory: categoryName, scheme: text(wordOf(keyScheme, keyScheme.options)) },
    reply: keyPairIdentifier,
    handle: async ({ room, path }) => {
      const category = readCategory(path.hsmcategory);
      if (typeof category !== 'string') return category;
      const { requests, limits } = room;
      const { tenantid: tenant, alias, scheme } = path;
      const outcome = await requests.ask(allToCryptoKey, { key: tenant, body: { type: 'generate', tenant, alias, category, scheme }, timeoutMs: limits.askTimeoutMs });
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
      if (masterkeyalias !== undefined) return refuse('REST_UNSUPPORTED', 'Keys cannot be listed by their master key alias');
      const { tenantid: tenant } = path;
      const outcome = await requests.ask(allToCryptoKey, {
        key: tenant,
        body: { type: 'find', tenant, ...(id.length === 0 ? {} : { ids: [...id] }), ...(alias === undefined ? {} : { alias }), ...(category === undefined ? {} : { category }) },
        timeoutMs: limits.askTimeoutMs,
      });
      if (outcome.type === 'refused') return outcome;
      const found = outcome.value.keys.filter(
        ({ scheme, createdAt }) =>
          (schemecodename === undefined || scheme === schemecodename) && createdAt >= (createdafter ?? -Infinity) && createdAt <= (createdbefore ?? Infinity),
      );
      return done(Object.fromEntries(inOrder(found, orderby).slice(skip, skip + take).map((key) => [key.id, keyBody(key)])));
    },
  }),
  route({
    method: 'GET',
    path: '/key/{tenantid}/{keyid}',
    pathInV1: '/keys/{tenantid}/{keyid}',
    tag,
    summary: 'Reads a public key, in PEM',
    pathParameters: { tenantid: tenantId, keyid: text(z.string().regex(/^[0-9a-fA-F]{12}$/, 'a key id has 12 hex digits').transform((given) => given.toUpperCase())) },
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
