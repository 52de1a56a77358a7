/** The TLS keys of a REST server: those of the `rest-tls` certificates that operators imported, then the cluster's own. */
import { restToCryptoTlsKey } from '../../messages/rest-to-crypto.tls-key.ts';
import { openTlsKeys, type TlsKeys, type TlsKeysOptions } from '../../shell/tls-keys.ts';

export type RestTlsKeysOptions = Omit<TlsKeysOptions, 'wire' | 'usage'>;

export const openRestTlsKeys = (options: RestTlsKeysOptions): Promise<TlsKeys> => openTlsKeys({ ...options, wire: restToCryptoTlsKey, usage: 'rest-tls' });
