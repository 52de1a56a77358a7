/** Polls by name, so that their client can end them: an HTTP client cannot take back a request that it waits for. */
import type { Grant } from '../http-server-access.ts';
import { headerOf, success } from './call.ts';
import type { Call } from './call.ts';
import { nameOf, Refused } from './parse.ts';

/** Polls whose cancel came first are remembered, as the two take different connections. */
const cancelledMax = 10_000;

export const createPolls = () => {
  const running = new Map<string, AbortController>();
  const cancelled = new Set<string>();
  const keyOf = (grant: Grant, name: string): string => `${grant.username}\n${name}`;
  const run = async (call: Call, poll: (signal: AbortSignal) => Promise<string>): Promise<string> => {
    const { request, grant } = call;
    const name = headerOf(request, 'cordage-poll');
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    if (request.signal?.aborted === true) abort();
    request.signal?.addEventListener('abort', abort, { once: true });
    const key = name === undefined ? undefined : keyOf(grant, nameOf(name, 'Cordage-Poll'));
    if (key !== undefined) {
      if (cancelled.delete(key)) abort();
      running.set(key, controller);
    }
    try {
      return await poll(controller.signal);
    } finally {
      request.signal?.removeEventListener('abort', abort);
      if (key !== undefined) running.delete(key);
    }
  };
  const cancel = ({ names, grant }: Call): string => {
    if (names.length !== 1) throw new Refused(404, 'no such route');
    const key = keyOf(grant, nameOf(names[0], 'the poll'));
    const controller = running.get(key);
    if (controller === undefined) cancelled.add(key);
    else controller.abort();
    const [oldest] = cancelled;
    if (cancelled.size > cancelledMax && oldest !== undefined) cancelled.delete(oldest);
    return success;
  };
  return { run, cancel };
};
