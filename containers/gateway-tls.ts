/** TLS between clusters on Node, by the settings and the configuration of the moment: which addresses, whose certificates, and what was revoked. */
import type { IncomingMessage } from 'node:http';
import { createRevocation } from '../src/cipher/revocation/revocation.ts';
import { createAddressGuard } from '../src/host/addresses.ts';
import type { Clock } from '../src/host/clock.ts';
import { createFetchBytes } from '../src/host/fetch-bytes.ts';
import { createHttpClient, type HttpClient } from '../src/host/http-client.ts';
import { peerChainOf } from '../src/host/peer-chain.ts';
import type { ClientSubject } from '../src/messages/member-to-gateway.client-subject.ts';
import type { GroupParameters } from '../src/messages/member-to-all.group-parameters.ts';
import type { TlsKeys } from '../src/shell/tls-keys.ts';
import type { ChangingView, View } from '../src/shell/view.ts';
import { createClientCheck, type ClientCheck } from '../src/workers/gateway/client-certificate.ts';
import type { Admit } from '../src/workers/gateway/worker.ts';
import type { Config } from '../src/shell/live-config.ts';
import { listOf, type Settings } from './settings.ts';

export type GatewayTls = {
  readonly httpClient: HttpClient;
  /** With mutual TLS; admits all without. */
  readonly admit: Admit;
  /** Whether clients must show a certificate now. */
  isMutual(): boolean;
  /** The keys that the gateway serves with: one of them is shown to servers that ask for a certificate, the first where none is named. */
  use(keys: Pick<TlsKeys, 'current' | 'named'>): void;
};

export type GatewayTlsOptions = { readonly settings: Settings; readonly config: Config; readonly groupParameters: View<GroupParameters>; readonly clientSubjects: ChangingView<ClientSubject>; readonly clock: Clock };

type Kept = { readonly groups: ReturnType<ClientCheck['groups']>; readonly examined: ReturnType<ClientCheck['examine']> };

const isSame = (one: Kept['groups'], other: Kept['groups']): boolean => one.length === other.length && one.every((group, n) => group === other[n]);

/** Once for each connection and each change of the groups: its certificate does not change, and what was revoked meanwhile is seen at the next. */
const admitBySocket = (check: ClientCheck): Admit => {
  const kept = new WeakMap<object, Kept>();
  return async (_request, env) => {
    // `listen` promises `{ incoming }` of Node in `env`.
    const { socket } = (env as { readonly incoming: IncomingMessage }).incoming;
    const groups = check.groups();
    const before = kept.get(socket);
    const now = before !== undefined && isSame(before.groups, groups) ? before : { groups, examined: check.examine(peerChainOf(socket)) };
    kept.set(socket, now);
    return check.admission(await now.examined);
  };
};

export const createGatewayTls = ({ settings, config, groupParameters, clientSubjects, clock }: GatewayTlsOptions): GatewayTls => {
  const addresses = createAddressGuard(listOf(settings.CORDAGE_GATEWAY_PRIVATE_RANGES, ','));
  const revocation = createRevocation({ mode: () => config.get('corda.p2p.gateway').sslConfig.revocationCheck.mode, fetchBytes: createFetchBytes({ addresses }), now: () => clock.now() });
  const isMutual = (): boolean => config.get('corda.p2p.gateway').sslConfig.tlsType === 'MUTUAL';
  let own: Pick<TlsKeys, 'current' | 'named'> | undefined;
  const httpClient = createHttpClient({
    addresses,
    clientKey: (named) => (isMutual() ? ((named === undefined ? undefined : own?.named(named)) ?? own?.current()[0]) : undefined),
    refuseServer: async (chain) => {
      const verdict = await revocation.check(chain);
      return verdict.type === 'refused' ? verdict.reason : undefined;
    },
  });
  const subjects = listOf(settings.CORDAGE_GATEWAY_CLIENT_SUBJECTS, ';');
  const admit = admitBySocket(createClientCheck({ groupParameters, clientSubjects, revocation, subjects, clock }));
  return {
    httpClient,
    isMutual,
    admit: async (request, env) => (isMutual() ? await admit(request, env) : { type: 'admitted' }),
    use: (keys) => {
      own = keys;
    },
  };
};
