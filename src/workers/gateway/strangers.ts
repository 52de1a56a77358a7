/**
 * Packets of no session, which anybody may send: so many of one address in a minute. In memory and of one replica: what is refused is sent
 * again, and the link manager has a bound for all.
 */
import type { Clock } from '../../host/clock.ts';
import type { GatewayLimits } from './config.ts';

/** Where a request comes from; `undefined` where the runtime does not tell. */
export type AddressOf = (request: Request, env: unknown) => string | undefined;

const minuteMs = 60_000;
/** Addresses that are not told apart. */
const others = 'others';

/** True when this address may send one more. */
export const createStrangers = (clock: Clock, limits: Pick<GatewayLimits, 'strangerPacketsPerMinuteMax' | 'strangerAddressesMax'>): ((address: string | undefined) => boolean) => {
  const counts = new Map<string, number>();
  let minute = 0;
  return (address) => {
    const thisMinute = Math.floor(clock.now() / minuteMs);
    if (thisMinute !== minute) counts.clear();
    minute = thisMinute;
    const key = address !== undefined && (counts.has(address) || counts.size < limits.strangerAddressesMax) ? address : others;
    const count = (counts.get(key) ?? 0) + 1;
    if (count > limits.strangerPacketsPerMinuteMax) return false;
    counts.set(key, count);
    return true;
  };
};
