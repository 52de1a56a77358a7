/** TLS between clusters on Node, by the settings and the configuration of the moment: which addresses, whose certificates, and what was revoked. */
import type { IncomingMessage } from 'node:http';
import { createRevocation } from '../src/cipher/revocation/revocation.ts';
import { createAddressGuard } from '../src/host/addresses.ts';
import type { Clock } from '../src/host/clock.ts';
import { createFetchBytes } from '../src/host/fetch-bytes.ts';
import { createHttpClient, type HttpClient } from '../src/host/http-client.ts';
import type { TlsKey } from '../src/host/http-server.ts';
import { peerChainOf } from '../src/host/peer-chain.ts';
import type { GroupParameters } from '../src/messages/member-to-all.group-parameters.ts';
import type { View } from '../src/shell/view.ts';
import { createClientCheck } from '../src/workers/gateway/client-certificate.ts';
import type { Admission, Admit } from '../src/workers/gateway/worker.ts';
import type { Config } from '../src/shell/live-config.ts';
import { listOf, type Settings } from './settings.ts';

export type GatewayTls = {
  readonly httpClient: HttpClient;
  /** With mutual TLS; admits all without. */
  readonly admit: Admit;
  /** Whether clients must show a certificate now. */
  isMutual(): boolean;
  /** The keys that the gateway serves with: the first is shown to servers that ask for one. */
  use(keys: readonly TlsKey[]): void;
};

export type GatewayTlsOptions = { readonly settings: Settings; readonly config: Config; readonly groupParameters: View<GroupParameters>; readonly clock: Clock };

/** Once for each connection: its certificate does not change, and what was revoked meanwhile is seen at the next. */
const admitOncePerSocket = (check: (chain: readonly Uint8Array<ArrayBuffer>[]) => Promise<Admission>): Admit => {
  const admissions = new WeakMap<object, Promise<Admission>>();
  return async (_request, env) => {
    // `listen` promises `{ incoming }` of Node in `env`.
    const { socket } = (env as { readonly incoming: IncomingMessage }).incoming;
    const admission = admissions.get(socket) ?? check(peerChainOf(socket));
    admissions.set(socket, admission);
    return await admission;
  };
};

export const createGatewayTls = ({ settings, config, groupParameters, clock }: GatewayTlsOptions): GatewayTls => {
  const addresses = createAddressGuard(listOf(settings.CORDAGE_GATEWAY_PRIVATE_RANGES, ','));
  const revocation = createRevocation({ mode: () => config.get('corda.p2p.gateway').sslConfig.revocationCheck.mode, fetchBytes: createFetchBytes({ addresses }), now: () => clock.now() });
  const isMutual = (): boolean => config.get('corda.p2p.gateway').sslConfig.tlsType === 'MUTUAL';
  let clientKey: TlsKey | undefined;
  const httpClient = createHttpClient({
    addresses,
    clientKey: () => (isMutual() ? clientKey : undefined),
    refuseServer: async (chain) => {
      const verdict = await revocation.check(chain);
      return verdict.type === 'refused' ? verdict.reason : undefined;
    },
  });
  const subjects = listOf(settings.CORDAGE_GATEWAY_CLIENT_SUBJECTS, ';');
  const admit = admitOncePerSocket(createClientCheck({ groupParameters, revocation, subjects, clock }));
  return {
    httpClient,
    isMutual,
    admit: async (request, env) => (isMutual() ? await admit(request, env) : { type: 'admitted' }),
    use: (keys) => {
      clientKey = keys[0];
    },
  };
};
