/** corda.rest and corda.rbac: the REST API, and who may use it. */
import * as z from 'zod';
import { optionalText, section, texts, whole } from './field.ts';

const day = 24 * 60 * 60_000;

/** Signature algorithms of tokens (RFC 7518, RFC 8037) that need a public key alone: with a shared secret rest could make tokens itself. */
export const tokenAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;

const isKeyAddress = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || (protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname));
};
const keyAddress = z.string().max(2_000).refine(isKeyAddress, 'must be an https:// address (http:// on this machine alone)');

const oidc = z
  .strictObject({
    issuer: z.string().min(1).max(1_000).meta({ description: 'The `iss` of its tokens.' }),
    audience: z.string().min(1).max(1_000).meta({ description: 'The `aud` that a token must be for.' }),
    jwksUri: keyAddress.meta({ description: 'Where its public keys are (RFC 7517), by https.' }),
    loginClaims: texts({ byDefault: ['preferred_username', 'upn', 'email'], says: 'Claims that may name the user; the first that a token has is the login name.', countMax: 10 }),
    algorithms: z.array(z.enum(tokenAlgorithms)).min(1).max(tokenAlgorithms.length).default(['RS256', 'PS256', 'ES256', 'EdDSA']).meta({ description: 'Signature algorithms that are accepted.' }),
    clockSkewSeconds: whole({ byDefault: 60, min: 0, max: 600, unit: 's', says: 'How far the clock of the provider may be off.' }),
  })
  .optional()
  .meta({ description: 'An OpenID Connect provider whose bearer tokens log users in, beside Basic.' });

/** Corda's shape, from which the same follows for Microsoft Entra ID. */
const azureAd = z
  .strictObject({
    tenantId: z.string().regex(/^[-.A-Za-z0-9]{1,100}$/).meta({ description: 'The tenant.' }),
    clientId: z.string().min(1).max(200).meta({ description: 'The application: the audience of its tokens.' }),
    authority: keyAddress.default('https://login.microsoftonline.com').meta({ description: 'The address before the tenant.' }),
    trustedIssuers: texts({ byDefault: [], says: 'Issuers beside the two of the tenant.' }),
    principalNameClaims: texts({ byDefault: ['upn', 'preferred_username', 'email', 'unique_name'], says: 'As `loginClaims`.', countMax: 10 }),
    appIdUri: optionalText({ says: 'Another audience that is accepted, such as `api://…`.' }),
  })
  .optional()
  .meta({ description: 'Corda\'s setting for Microsoft Entra ID, as a shorthand for `oidc`.' });

export const restSection = section({
  says: 'The REST API.',
  schema: z.strictObject({
    maxContentLength: whole({ byDefault: 200_000_000, min: 1_024, max: 1_000_000_000, unit: 'bytes', says: 'Longest body of a request; each kind of request has a bound of its own below it.' }),
    endpoint: z.strictObject({ timeoutMs: whole({ byDefault: 15_000, min: 100, max: 600_000, unit: 'ms', says: 'How long the worker that does something is waited for before the answer is 503.' }) }).prefault({}),
    websocket: z.strictObject({ idleTimeoutMs: whole({ byDefault: 30_000, min: 1_000, max: day, unit: 'ms', says: 'Silence after which a feed is closed.' }) }).prefault({}),
    flowStatusCleanupTimeMs: whole({ byDefault: 7 * day, min: 60_000, max: 365 * day, unit: 'ms', says: 'How long a flow that ended is remembered, with its result and its journal; one that a session began at least twice p2pTTL.' }),
    sso: z.strictObject({ oidc, azureAd }).prefault({}),
  }),
  ignored: {
    address: 'where REST listens is told by CORDAGE_REST_HOST and CORDAGE_REST_PORT',
    context: 'title and description of the API are fixed',
    'sso.azureAd.clientSecret': 'keys of the provider are public, so no secret is needed',
    'sso.azureAd.scope': 'tokens are checked, not asked for',
    tls: 'certificates are imported for the usage rest-tls',
  },
});

export const rbacSection = section({
  says: 'Users and their passwords.',
  schema: z.strictObject({
    password: z
      .strictObject({
        userPasswordChangeExpiry: whole({ byDefault: 90, min: 30, max: 3_650, unit: 'days', says: 'How long a password lasts that its user chose.' }),
        adminPasswordChangeExpiry: whole({ byDefault: 7, min: 1, max: 3_650, unit: 'days', says: 'How long a password lasts that somebody else chose.' }),
        passwordExpiryWarningWindow: whole({ byDefault: 30, min: 0, max: 3_650, unit: 'days', says: 'How long before its end each answer carries a warning.' }),
        lengthLimit: whole({ byDefault: 255, min: 10, max: 1_000, unit: 'UTF-16 code units', says: 'Longest password.' }),
      })
      .prefault({}),
  }),
  ignored: {},
});
