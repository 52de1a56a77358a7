/**
 * Which errors pass by themselves. An error is operational when it is the bus that cannot be reached, or when it says so
 * itself by `operational: true` (the database's class does; a worker's own may). Everything else is a fault of one record
 * or of the code, and is isolated and parked (W4).
 */
import { BusError } from '../bus/bus.ts';

export const isOperational = (error: unknown): boolean => {
  if (error instanceof BusError) return error.code !== 'BUS_RECORD_TOO_LARGE';
  return typeof error === 'object' && error !== null && 'operational' in error && error.operational === true;
};

/** Wrong configuration or damage: it is tried again, but somebody must come. */
export const needsAttention = (error: unknown): boolean =>
  !isOperational(error) || (error instanceof BusError && error.code !== 'BUS_UNREACHABLE');

export const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : '';
  return `${code}${error.message}`;
};

/** Where a host hands in `probe`, each of these points of a batch is awaited; a test may crash there. */
export type BatchPoint = 'polled' | 'stepped' | 'saved' | 'published' | 'committed';
export type Probe = (point: BatchPoint) => void | Promise<void>;
