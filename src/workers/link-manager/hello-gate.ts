/**
 * How many hellos of strangers are answered. An answer costs an agreement of keys and a half-open handshake in the state, so
 * beyond a few at a time a stranger first proves, with a cookie, that it receives what is sent to the member's own address; and
 * beyond many at a time nobody is answered until some have ended.
 *
 * Counted in memory, for each replica alone: what is counted is work of this process. A half-open handshake that another replica
 * brings to its end is forgotten here with its time.
 */
import type { LinkManagerLimits } from './config.ts';

export type HelloVerdict = 'answer' | 'ask-cookie' | 'full';

export type HelloGate = {
  /** `id`: of pair and session. `halfOpen`: of this pair. `proven`: the hello bears a good cookie. Counts what it lets in. */
  judge(hello: { readonly id: string; readonly halfOpen: number; readonly proven: boolean; readonly now: number }): HelloVerdict;
  /** This handshake is no longer half open. */
  ended(id: string): void;
};

export const createHelloGate = (limits: LinkManagerLimits): HelloGate => {
  /** When each began; a Map keeps the order, so the oldest are first. */
  const open = new Map<string, number>();
  let second = 0;
  let asked = 0;
  /** A cookie is a packet to the one in whose name the hello came: nobody is to be flooded through us. */
  const mayAsk = (now: number): boolean => {
    const thisSecond = Math.floor(now / 1_000);
    if (thisSecond !== second) [second, asked] = [thisSecond, 0];
    return ++asked <= limits.cookiesPerSecondMax;
  };
  const forgetOld = (now: number): void => {
    for (const [id, since] of open) {
      if (now < since + limits.halfOpenMsMax) return;
      open.delete(id);
    }
  };
  return {
    judge: ({ id, halfOpen, proven, now }) => {
      forgetOld(now);
      if (open.size >= limits.halfOpenTotalMax) return 'full';
      if (!proven && (halfOpen > 0 || open.size >= limits.halfOpenUnprovenMax)) return mayAsk(now) ? 'ask-cookie' : 'full';
      open.set(id, now);
      return 'answer';
    },
    ended: (id) => void open.delete(id),
  };
};
