/** A door with TLS: it opens once crypto has handed the keys, sealed to this process, and takes new certificates without a restart. */
import { listen, type Listener, type ListenOptions } from '../src/host/http-server.ts';
import type { Log } from '../src/observability/log.ts';
import type { TlsKeys } from '../src/shell/tls-keys.ts';

export type TlsDoorOptions = Omit<ListenOptions, 'tls'> & {
  readonly keys: TlsKeys;
  readonly log: Log;
};

export const openTlsDoor = async ({ keys, log, ...options }: TlsDoorOptions): Promise<Listener> => {
  const listener = await listen({ ...options, tls: keys.current() });
  keys.onChange((tls) => {
    try {
      listener.replaceCertificates(tls);
    } catch (error) {
      log.error('tls-door.certificates-refused', { error, next: 'the certificates before them are served' });
    }
  });
  const close = async (): Promise<void> => {
    await keys.close();
    await listener.close();
  };
  return { ...listener, close };
};
