/** The TLS keys of the gateway: those of the `p2p-tls` certificates that operators imported, then the cluster's own. */
import { gatewayToCryptoTlsKey } from '../../messages/gateway-to-crypto.tls-key.ts';
import { openTlsKeys, type TlsKeys, type TlsKeysOptions } from '../../shell/tls-keys.ts';

export type GatewayTlsKeysOptions = Omit<TlsKeysOptions, 'wire' | 'usage'>;

export const openGatewayTlsKeys = (options: GatewayTlsKeysOptions): Promise<TlsKeys> => openTlsKeys({ ...options, wire: gatewayToCryptoTlsKey, usage: 'p2p-tls' });
