/**
 * Who calls: HTTP Basic against the users that db publishes.
 *
 * A verified login is remembered under a digest of its header, together with the user record it was verified against; when
 * the record changes (password, disabling) the memory no longer fits and the password is checked again. A wrong login and
 * a wrong password answer alike and take the same time.
 */
import { createBoundedCache } from '../../../cipher/bounded-cache.ts';
import { concat, randomBytes, toBase64url, utf8 } from '../../../cipher/bytes.ts';
import { sha256 } from '../../../cipher/digest.ts';
import type { Clock } from '../../../host/clock.ts';
import type { User } from '../../../messages/db-to-rest.user.ts';
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

export type { VerifyPassword } from './password.ts';
export { verifyPasswordPortably } from './password.ts';

export type Caller = { readonly type: 'caller'; readonly login: string };
export type Authenticate = (authorization: string | null, address: string) => Promise<Caller | Refusal>;

type AuthOptions = {
  readonly users: View<User>;
  readonly verifyPassword: VerifyPassword;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: RestLimits;
};

type Verified = { readonly login: string; readonly record: string; readonly until: number };

/** What db makes of a password today: what a decoy costs while there are no users. */
const usualCost = { n: 2 ** 15, r: 8, p: 3 } as const;

/** Everything of a user that a verified login rests on. */
const recordText = ({ login, enabled, password }: User): string => `${login} ${enabled} ${password.n} ${password.r} ${password.p} ${password.salt} ${password.hash}`;

const missing = refuse('REST_UNAUTHENTICATED', 'User credentials are empty or cannot be resolved');
const wrong = refuse('REST_UNAUTHENTICATED', 'Error during user authentication');

export const createAuth = ({ users, verifyPassword, clock, log, metrics, limits }: AuthOptions): Authenticate => {
  const verified = createBoundedCache<Verified>(limits.verifiedLoginsMax);
  const checking = new Map<string, Promise<Caller | Refusal>>();
  const failed = createFailedLogins(clock, limits);
  const gate = createGate({ atOnceMax: limits.passwordChecksAtOnceMax, waitingMax: limits.passwordChecksWaitingMax });
  const pepper = randomBytes(32);
  const failures = metrics.counter('cordage_rest_failed_logins_total', 'Calls refused for wrong credentials or too many of them.');
  let decoy = decoyLike(usualCost);

  /** Login names are stored in lower case and compared without regard to it (Corda). */
  const userOf = (login: string): User | undefined => users.get(login) ?? users.get(login.toLowerCase());

  const remembered = (digest: string): Caller | undefined => {
    const entry = verified.get(digest);
    if (entry === undefined || entry.until <= clock.now()) return undefined;
    const user = userOf(entry.login);
    return user !== undefined && recordText(user) === entry.record ? { type: 'caller', login: entry.login } : undefined;
  };

  /** An unknown login is checked against a record that costs what a user's costs. */
  const currentDecoy = (): PasswordRecord => {
    const [, sample] = users.entries().next().value ?? [];
    const { n, r, p } = sample !== undefined && isCheckable(sample.password, limits.passwordMemoryBytesMax) ? sample.password : usualCost;
    if (n !== decoy.n || r !== decoy.r || p !== decoy.p) decoy = decoyLike({ n, r, p });
    return decoy;
  };

  const fits = async (password: string, user: User | undefined): Promise<boolean> => {
    if (user !== undefined && !isCheckable(user.password, limits.passwordMemoryBytesMax)) {
      log.error('rest.user.uncheckable', { login: user.login, remedy: 'set the password again' });
      return false;
    }
    const fit = await verifyPassword(password, user?.password ?? currentDecoy());
    return fit && user?.enabled === true;
  };

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
      verified.set(digest, { login: user.login, record: recordText(user), until: clock.now() + limits.verifiedLoginMsMax });
      return { type: 'caller', login: user.login };
    }
    failures.add(1, { kind: 'wrong' });
    log.info('rest.login.failed', { login: name.slice(0, 255), address });
    return wrong;
  };

  return async (authorization, address) => {
    if (authorization === null || authorization === '') return missing;
    if (authorization.length > limits.authorizationCharsMax) return wrong;
    const digest = toBase64url(sha256(concat(pepper, utf8(authorization))));
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
