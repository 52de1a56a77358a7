/**
 * What compartments owe each other: one that used more of a batch than its slice waits as long as it ran, while others are
 * about, so that half of the time is theirs whatever it does.
 */
import type { Clock } from '../../../host/clock.ts';

export type Shares = {
  /** Whether a compartment must wait; says that it came. */
  mustWait(compartment: string): boolean;
  /** Milliseconds that a compartment used in one batch. */
  spend(compartment: string, ms: number): void;
};

export type ShareLimits = {
  readonly sliceMsMax: number;
  /** Milliseconds a compartment waits at most, however long it ran. */
  readonly debtMsMax: number;
};

/** Milliseconds after which a compartment is no longer about. */
const aboutMs = 1_000;
/** Compartments remembered: the longest unseen is forgotten, and with it a wait of a second at most. */
const seenMax = 10_000;

export const createShares = ({ clock, limits }: { readonly clock: Clock; readonly limits: ShareLimits }): Shares => {
  /** Longest unseen first. */
  const seenAt = new Map<string, number>();
  const debtUntil = new Map<string, number>();
  const isAlone = (compartment: string, now: number): boolean => {
    const recent = [...seenAt].slice(-2).filter(([other, at]) => other !== compartment && now - at < aboutMs);
    return recent.length === 0;
  };
  return {
    mustWait: (compartment) => {
      const now = clock.now();
      seenAt.delete(compartment);
      seenAt.set(compartment, now);
      for (const oldest of seenAt.keys()) {
        if (seenAt.size <= seenMax) break;
        seenAt.delete(oldest);
        debtUntil.delete(oldest);
      }
      const until = debtUntil.get(compartment);
      if (until === undefined) return false;
      if (until > now && !isAlone(compartment, now)) return true;
      debtUntil.delete(compartment);
      return false;
    },
    spend: (compartment, ms) => {
      if (ms >= limits.sliceMsMax) debtUntil.set(compartment, clock.now() + Math.min(ms, limits.debtMsMax));
    },
  };
};
