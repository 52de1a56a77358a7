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

export type AskedHello = {
  /** Of pair and session. */
  readonly id: string;
  /** Who greets. */
  readonly source: string;
  /** Of this pair. */
  readonly halfOpen: number;
  /** The hello bears a good cookie, so it is the source's own. */
  readonly proven: boolean;
  readonly now: number;
};

export type HelloGate = {
  /** Counts what it lets in. */
  judge(hello: AskedHello): HelloVerdict;
  /** This handshake is no longer half open. One that was refused stays counted: it has cost what an answer costs. */
  ended(id: string): void;
};

/** True so many times in a second. */
const perSecond = (countMax: number): ((now: number) => boolean) => {
  let second = 0;
  let count = 0;
  return (now) => {
    const thisSecond = Math.floor(now / 1_000);
    if (thisSecond !== second) [second, count] = [thisSecond, 0];
    return ++count <= countMax;
  };
};

type Open = { readonly since: number; /** `undefined` where anybody could have said it. */ readonly source: string | undefined };

export const createHelloGate = (limits: LinkManagerLimits): HelloGate => {
  /** A Map keeps the order, so the oldest are first. */
  const open = new Map<string, Open>();
  const ofSource = new Map<string, number>();
  /** A cookie is a packet to the one in whose name the hello came: nobody is to be flooded through us. */
  const mayAsk = perSecond(limits.cookiesPerSecondMax);
  const forget = (id: string): void => {
    const source = open.get(id)?.source;
    open.delete(id);
    if (source === undefined) return;
    const left = (ofSource.get(source) ?? 1) - 1;
    if (left > 0) ofSource.set(source, left);
    else ofSource.delete(source);
  };
  const forgetOld = (now: number): void => {
    for (const [id, { since }] of open) {
      if (now < since + limits.halfOpenMsMax) return;
      forget(id);
    }
  };
  const letIn = ({ id, source, proven, now }: AskedHello): void => {
    forget(id);
    open.set(id, { since: now, source: proven ? source : undefined });
    if (proven) ofSource.set(source, (ofSource.get(source) ?? 0) + 1);
  };
  return {
    judge: (hello) => {
      const { source, halfOpen, proven, now } = hello;
      forgetOld(now);
      if (open.size >= limits.halfOpenTotalMax) return 'full';
      if (!proven && (halfOpen > 0 || open.size >= limits.halfOpenUnprovenMax)) return mayAsk(now) ? 'ask-cookie' : 'full';
      if (proven && (ofSource.get(source) ?? 0) >= limits.halfOpenPerSourceMax) return 'full';
      letIn(hello);
      return 'answer';
    },
    ended: forget,
  };
};
