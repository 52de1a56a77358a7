/**
 * Bearer tokens (RFC 6750) of an identity provider: JSON Web Tokens (RFC 7519) that its public keys sign. Which provider, and what names the user,
 * is configuration (`corda.rest` sso), read at each call.
 *
 * The keys are fetched when the first token comes, kept, and fetched again when a token names a key that is not among them, but not
 * oftener than `keysPauseMs`, however many such tokens come. Where a worker lives for one request only, its host keeps them (`FetchedKeys`).
 */
import { createRemoteJWKSet, customFetch, decodeJwt, errors, jwksCache, jwtVerify, type JWKSCacheInput, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import type { Clock } from '../../../host/clock.ts';
import type { SectionValues } from '../../../messages/configuration/sections.ts';
import type { Config } from '../../../shell/live-config.ts';
import { keysAgeMsMax, keysBytesMax, keySetsMax, keysPauseMs, keysTimeoutMs } from '../config.ts';

type Sso = SectionValues['corda.rest']['sso'];

type Provider = {
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  readonly jwksUri: string;
  readonly loginClaims: readonly string[];
  readonly algorithms: readonly string[];
  readonly clockSkewSeconds: number;
};

export type TokenResult =
  | { readonly type: 'login'; readonly login: string }
  | { readonly type: 'refused'; readonly reason: string }
  /** The provider's keys cannot be had now. */
  | { readonly type: 'unavailable'; readonly reason: string };

/** Keys that were fetched, by their URL; those of providers that are configured no more go when it is full. */
export type FetchedKeys = Map<string, JWKSCacheInput>;

export type Tokens = {
  /** Whether a provider is configured. */
  readonly areTaken: () => boolean;
  verify(token: string): Promise<TokenResult>;
};

/** Microsoft's defaults for Corda's short form. */
const entraAlgorithms = ['RS256', 'PS256', 'ES256'];
const entraSkewSeconds = 60;

const providersOf = ({ oidc, azureAd }: Sso): Provider[] => {
  const providers: Provider[] = [];
  if (oidc !== undefined) providers.push({ ...oidc, issuers: [oidc.issuer], audiences: [oidc.audience] });
  if (azureAd !== undefined) {
    const { tenantId, clientId, authority, trustedIssuers, principalNameClaims, appIdUri } = azureAd;
    const tenant = `${authority.replace(/\/$/, '')}/${tenantId}`;
    providers.push({
      issuers: [`${tenant}/v2.0`, `https://sts.windows.net/${tenantId}/`, ...trustedIssuers],
      audiences: [clientId, ...(appIdUri === undefined ? [] : [appIdUri])],
      jwksUri: `${tenant}/discovery/v2.0/keys`,
      loginClaims: principalNameClaims,
      algorithms: entraAlgorithms,
      clockSkewSeconds: entraSkewSeconds,
    });
  }
  return providers;
};

/** Reads no more than a key set has. */
const boundedFetch = async (url: string, options: RequestInit): Promise<Response> => {
  const response = await fetch(url, options);
  const reader = response.body?.getReader();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (let read = await reader?.read(); read !== undefined && !read.done; read = await reader?.read()) {
    length += read.value.length;
    if (length > keysBytesMax) {
      await reader?.cancel();
      throw new Error(`the key set is longer than ${keysBytesMax} bytes`);
    }
    // What a fetch reads is never shared memory.
    pieces.push(read.value as Uint8Array<ArrayBuffer>);
  }
  return new Response(new Blob(pieces), { status: response.status, headers: response.headers });
};

const loginOf = (claims: JWTPayload, names: readonly string[]): string | undefined => names.map((name) => claims[name]).find((value): value is string => typeof value === 'string' && value !== '');

const issuerOf = (token: string): string | undefined => {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
};

/** What is wrong with the token itself; anything else is the way to the keys. */
const isTokenFault = (error: unknown): error is Error =>
  error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) && !(error instanceof errors.JWKSInvalid) && error.code !== 'ERR_JOSE_GENERIC';

export type TokensOptions = { readonly config: Config; readonly clock: Clock; readonly fetchedKeys?: FetchedKeys | undefined };

export const createTokens = ({ config, clock, fetchedKeys = new Map() }: TokensOptions): Tokens => {
  const providersBySso = new WeakMap<Sso, readonly Provider[]>();
  const keySets = new WeakMap<Provider, JWTVerifyGetKey>();

  const providers = (): readonly Provider[] => {
    const { sso } = config.get('corda.rest');
    const known = providersBySso.get(sso) ?? providersOf(sso);
    providersBySso.set(sso, known);
    return known;
  };
  const keysOf = (provider: Provider): JWTVerifyGetKey => {
    const known = keySets.get(provider);
    if (known !== undefined) return known;
    const fetched = fetchedKeys.get(provider.jwksUri) ?? {};
    if (fetchedKeys.size >= keySetsMax) fetchedKeys.clear();
    fetchedKeys.set(provider.jwksUri, fetched);
    const keys = createRemoteJWKSet(new URL(provider.jwksUri), { [jwksCache]: fetched, timeoutDuration: keysTimeoutMs, cooldownDuration: keysPauseMs, cacheMaxAge: keysAgeMsMax, [customFetch]: boundedFetch });
    keySets.set(provider, keys);
    return keys;
  };
  const check = async (token: string, provider: Provider): Promise<TokenResult> => {
    const { payload } = await jwtVerify(token, keysOf(provider), {
      issuer: [...provider.issuers],
      audience: [...provider.audiences],
      algorithms: [...provider.algorithms],
      clockTolerance: provider.clockSkewSeconds,
      currentDate: new Date(clock.now()),
      requiredClaims: ['exp'],
    });
    const login = loginOf(payload, provider.loginClaims);
    return login === undefined ? { type: 'refused', reason: `it has none of the claims ${provider.loginClaims.join(', ')}` } : { type: 'login', login };
  };
  return {
    areTaken: () => providers().length > 0,
    verify: async (token) => {
      const issuer = issuerOf(token);
      const provider = issuer === undefined ? undefined : providers().find(({ issuers }) => issuers.includes(issuer));
      if (provider === undefined) return { type: 'refused', reason: 'no provider of that issuer is configured' };
      try {
        return await check(token, provider);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return { type: isTokenFault(error) ? 'refused' : 'unavailable', reason };
      }
    },
  };
};
