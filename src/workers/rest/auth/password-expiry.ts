/** Whether a caller's password still serves. Who comes with a token has none here. */
import type { RestRoom } from '../room.ts';
import type { Caller } from './auth.ts';

export type PasswordStanding =
  | { readonly type: 'good' }
  /** It ends soon: `warning` is a header of that name (RFC 7234 section 5.5), for whoever reads it. */
  | { readonly type: 'ending'; readonly warning: string }
  /** It serves for nothing but its own change. */
  | { readonly type: 'expired' };

const dayMs = 24 * 60 * 60_000;
const good: PasswordStanding = { type: 'good' };

export const passwordStandingOf = ({ user, by }: Caller, { clock, config }: Pick<RestRoom, 'clock' | 'config'>): PasswordStanding => {
  const { passwordExpiry } = user;
  if (by === 'token' || passwordExpiry === null) return good;
  const left = passwordExpiry - clock.now();
  if (left <= 0) return { type: 'expired' };
  if (left > config.get('corda.rbac').password.passwordExpiryWarningWindow * dayMs) return good;
  return { type: 'ending', warning: `299 - "The password expires at ${new Date(passwordExpiry).toISOString()}; change it with POST /user/selfpassword"` };
};
