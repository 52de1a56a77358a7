/**
 * The replay window of one direction of a session (as RFC 4303 section 3.4.3): the highest counter seen and a bitmap of those
 * just below it. What is older than the window is refused, seen or not.
 */
export type ReplayWindow = {
  readonly highest: number;
  /** Hex of a bitmap: bit n is set when `highest - n` was seen. */
  readonly seen: string;
};

export const emptyWindow: ReplayWindow = { highest: 0, seen: '0' };

export const isReplay = (window: ReplayWindow, counter: number, size: number): boolean => {
  if (counter > window.highest) return false;
  const behind = window.highest - counter;
  return behind >= size || ((BigInt(`0x${window.seen}`) >> BigInt(behind)) & 1n) === 1n;
};

/** Marks a counter as seen; only after its packet was authenticated. */
export const markSeen = (window: ReplayWindow, counter: number, size: number): ReplayWindow => {
  const bits = BigInt(`0x${window.seen}`);
  if (counter <= window.highest) {
    return { highest: window.highest, seen: (bits | (1n << BigInt(window.highest - counter))).toString(16) };
  }
  const ahead = counter - window.highest;
  const kept = ahead >= size ? 0n : (bits << BigInt(ahead)) & ((1n << BigInt(size)) - 1n);
  return { highest: counter, seen: (kept | 1n).toString(16) };
};
