/**
 * Who calls: HTTP Basic against the users that db publishes, or a bearer token of an identity provider that names one of them.
 *
 * A verified login is remembered under a digest of its header, together with the user record it was verified against; when
 * the record changes (password, disabling, roles) the memory no longer fits and the password is checked again. A wrong login and
 * a wrong password answer alike and take the same time.
 */
import { createBoundedCache } from '../../../cipher/bounded-cache.ts';
import { randomBytes, toHex } from '../../../cipher/bytes.ts';
import { sha256Hex } from '../../../cipher/digest.ts';
import type { Clock } from '../../../host/clock.ts';
import { passwordCost, type User } from '../../../messages/db-to-rest.user.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { Log } from '../../../observability/log.ts';
import type { Metrics } from '../../../observability/metrics.ts';
import type { View } from '../../../shell/view.ts';
import type { RestLimits } from '../config.ts';
import { refuse } from '../refusal.ts';
import { parseBasic, type Credentials } from './basic.ts';
import { createFailedLogins } from './failed-logins.ts';
import { createGate } from '../gate.ts';
import { decoyLike, isCheckable, type PasswordRecord, type VerifyPassword } from './password.ts';
import type { Tokens } from './tokens.ts';

export type { VerifyPassword } from './password.ts';
export { deriveKeyPortably, verifyPasswordPortably, type DeriveKey } from './password.ts';

export type Caller = { readonly type: 'caller'; readonly login: string; readonly user: User; readonly by: 'password' | 'token' };
/** A promise only where something must be waited for. */
export type Authenticate = (authorization: string | null, address: string) => Caller | Refusal | Promise<Caller | Refusal>;

type AuthOptions = {
  readonly users: View<User>;
  readonly verifyPassword: VerifyPassword;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: RestLimits;
};

/** `user`: the very record that the login was verified against. */
type Verified = { readonly user: User; readonly until: number };

/** RFC 6750 section 2.1, with what a JSON Web Token is made of. */
const bearer = /^bearer +([-\w.]+) *$/i;
/** UTF-16 code units of a header with a token. */
const tokenCharsMax = 16_000;

const missing = refuse('REST_UNAUTHENTICATED', 'User credentials are empty or cannot be resolved');
const wrong = refuse('REST_UNAUTHENTICATED', 'Error during user authentication');

type Fits = (password: string, user: User | undefined) => Promise<boolean>;

/** Whether the password is the user's and the user may log in; it takes the same time for a user who is not there. */
const createFits = ({ users, verifyPassword, log, limits }: Pick<AuthOptions, 'users' | 'verifyPassword' | 'log' | 'limits'>): Fits => {
  let decoy = decoyLike(passwordCost);

  const anyPassword = (): PasswordRecord | undefined => {
    for (const [, { password }] of users.entries()) if (password !== null) return password;
    return undefined;
  };

  /** An unknown login is checked against a record that costs what a user's costs. */
  const currentDecoy = (): PasswordRecord => {
    const sample = anyPassword();
    const { n, r, p } = sample !== undefined && isCheckable(sample, limits.passwordMemoryBytesMax) ? sample : passwordCost;
    if (n !== decoy.n || r !== decoy.r || p !== decoy.p) decoy = decoyLike({ n, r, p });
    return decoy;
  };

  return async (password: string, user: User | undefined): Promise<boolean> => {
    const record = user?.password ?? undefined;
    if (user !== undefined && record !== undefined && !isCheckable(record, limits.passwordMemoryBytesMax)) {
      log.error('rest.user.uncheckable', { login: user.login, remedy: 'set the password again' });
      return false;
    }
    const fit = await verifyPassword(password, record ?? currentDecoy());
    return fit && record !== undefined && user?.enabled === true;
  };
};

export const createAuth = ({ users, verifyPassword, tokens, clock, log, metrics, limits }: AuthOptions): Authenticate => {
  const verified = createBoundedCache<Verified>(limits.verifiedLoginsMax);
  const checking = new Map<string, Promise<Caller | Refusal>>();
  const failed = createFailedLogins(clock, limits);
  const gate = createGate({ atOnceMax: limits.passwordChecksAtOnceMax, waitingMax: limits.passwordChecksWaitingMax });
  const pepper = toHex(randomBytes(32));
  const failures = metrics.counter('cordage_rest_failed_logins_total', 'Calls refused for wrong credentials or too many of them.');

  /** Login names are stored in lower case and compared without regard to it (Corda). */
  const userOf = (login: string): User | undefined => users.get(login) ?? users.get(login.toLowerCase());

  const remembered = (digest: string): Caller | undefined => {
    const entry = verified.get(digest);
    if (entry === undefined || entry.until <= clock.now()) return undefined;
    const user = userOf(entry.user.login);
    return user === entry.user ? { type: 'caller', login: user.login, user, by: 'password' } : undefined;
  };

  const fits = createFits({ users, verifyPassword, log, limits });

  const check = async ({ login, password }: Credentials, address: string, digest: string): Promise<Caller | Refusal> => {
    const name = login.toLowerCase();
    const waitSeconds = failed.waitSeconds(name, address);
    if (waitSeconds > 0) {
      failures.add(1, { kind: 'throttled' });
      return refuse('REST_LOGINS_THROTTLED', 'Too many failed logins', { retryAfterSeconds: String(waitSeconds) });
    }
    failed.add(name, address);
    const user = userOf(login);
    const fit = await gate.pass(() => fits(password, user));
    if (fit === 'full') {
      failed.forgive(name, address);
      return refuse('REST_BUSY', 'Too many logins are being checked');
    }
    if (fit.value && user !== undefined) {
      failed.forgive(name, address);
      verified.set(digest, { user, until: clock.now() + limits.verifiedLoginMsMax });
      return { type: 'caller', login: user.login, user, by: 'password' };
    }
    failures.add(1, { kind: 'wrong' });
    log.info('rest.login.failed', { login: name.slice(0, 255), address });
    return wrong;
  };

  const checkToken = async (token: string, address: string): Promise<Caller | Refusal> => {
    const result = await tokens.verify(token);
    if (result.type === 'unavailable') {
      log.error('rest.token.unverifiable', { reason: result.reason, remedy: 'see that the keys of the identity provider can be reached (corda.rest, sso)' });
      return refuse('REST_UNAVAILABLE', 'The keys of the identity provider cannot be had now; try again later');
    }
    const user = result.type === 'login' ? userOf(result.login) : undefined;
    if (user?.enabled === true) return { type: 'caller', login: user.login, user, by: 'token' };
    failures.add(1, { kind: 'token' });
    log.info('rest.token.refused', { reason: result.type === 'refused' ? result.reason : 'it names no user who may log in', address });
    return wrong;
  };

  return (authorization, address) => {
    if (authorization === null || authorization === '') return missing;
    const [, token] = authorization.length <= tokenCharsMax && tokens.areTaken() ? (bearer.exec(authorization) ?? []) : [];
    if (token !== undefined) return checkToken(token, address);
    if (authorization.length > limits.authorizationCharsMax) return wrong;
    const digest = sha256Hex(pepper + authorization);
    const known = remembered(digest);
    if (known !== undefined) return known;
    const credentials = parseBasic(authorization, limits.authorizationCharsMax);
    if (credentials === undefined) return missing;
    // Calls with the same header at the same time share one check: a client that opens with a burst costs one scrypt.
    const running = checking.get(digest);
    if (running !== undefined) return running;
    const started = check(credentials, address, digest).finally(() => checking.delete(digest));
    checking.set(digest, started);
    return started;
  };
};
