/** A door with TLS: it opens once crypto has handed the keys, sealed to this process, and takes new certificates without a restart. */
import { listen, type Listener, type ListenOptions, type TlsKey } from '../src/host/http-server.ts';
import type { Log } from '../src/observability/log.ts';
import type { TlsKeys } from '../src/shell/tls-keys.ts';

export type TlsDoorOptions = Omit<ListenOptions, 'tls'> & {
  readonly keys: TlsKeys;
  readonly log: Log;
  /** Told of the keys at first and whenever they change. */
  readonly use?: (keys: readonly TlsKey[]) => void;
};

export const openTlsDoor = async ({ keys, log, use, ...options }: TlsDoorOptions): Promise<Listener> => {
  use?.(keys.current());
  const listener = await listen({ ...options, tls: keys.current() });
  keys.onChange((tls) => {
    use?.(tls);
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
