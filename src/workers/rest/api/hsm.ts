/** The soft HSM: a tenant must be given a category before keys of it can be made. */
import * as z from 'zod';
import { allToCryptoKey, hsmCategory, type hsmAssociation } from '../../../messages/all-to-crypto.key.ts';
import type { BodyOf } from '../../../messages/grammar/wire.ts';
import { text } from '../parameter.ts';
import { refuse } from '../refusal.ts';
import type { RestRoom } from '../room.ts';
import { done, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { int64 } from './shapes.ts';

const tag = 'HSM';

const associationInfo = z
  .object({ category: z.string(), deprecatedAt: int64, hsmId: z.string(), id: z.string(), masterKeyAlias: z.string().nullable() })
  .meta({ id: 'HsmAssociationInfo' });

/** A virtual node's short hash, or `p2p` for the cluster's own keys. */
export const tenantId = text(
  z
    .string()
    .regex(/^([0-9a-fA-F]{12}|p2p)$/, 'a tenant is a holding identity short hash (12 hex digits) or p2p')
    .transform((given) => (given === 'p2p' ? given : given.toUpperCase())),
);

export const readCategory = (given: string) => {
  const category = hsmCategory.safeParse(given.toUpperCase());
  return category.success ? category.data : refuse('REST_HSM_CATEGORY_UNKNOWN', `There is no HSM category ${given}`, { categories: hsmCategory.options.join(', ') });
};

export const categoryName = text(z.string().max(100));

type Association = z.infer<typeof hsmAssociation>;

/** Asks for the association, which both operations answer with. */
const askAssociation = async ({ requests, limits }: RestRoom, body: Extract<BodyOf<typeof allToCryptoKey>, { type: 'assign-hsm' | 'find-hsm' }>) => {
  const outcome = await requests.ask(allToCryptoKey, { key: body.tenant, body, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'refused') return outcome;
  const { association } = outcome.value;
  if (association === undefined) throw new Error('the crypto worker answered for an HSM without naming the association');
  return done(associationBody(association));
};

const associationBody = ({ id, hsmId, category, masterKeyAlias }: Association): z.infer<typeof associationInfo> => ({ category, deprecatedAt: 0, hsmId, id, masterKeyAlias });

export const hsmRoutes = [
  route({
    method: 'POST',
    path: '/hsm/soft/{tenantid}/{category}',
    tag,
    summary: 'Gives a tenant a category of the soft HSM; repeating it changes nothing',
    pathParameters: { tenantid: tenantId, category: categoryName },
    reply: associationInfo,
    handle: async ({ room, path }) => {
      const category = readCategory(path.category);
      if (typeof category !== 'string') return category;
      return askAssociation(room, { type: 'assign-hsm', tenant: path.tenantid, category });
    },
  }),
  route({
    method: 'GET',
    path: '/hsm/{tenantid}/{category}',
    tag,
    summary: 'Tells which HSM a tenant has for a category',
    pathParameters: { tenantid: tenantId, category: categoryName },
    reply: associationInfo,
    handle: async ({ room, path }) => {
      const category = readCategory(path.category);
      if (typeof category !== 'string') return category;
      return askAssociation(room, { type: 'find-hsm', tenant: path.tenantid, category });
    },
  }),
  protocolVersionRoute('hsm', tag),
];
