/**
 * The REST API: Corda 5.2's contract under `/api/v5_2`, Cordage's additions beside it.
 * The routes and their schemas stand in `src/workers/rest/api`; the OpenAPI document is generated from them.
 */
import type { PeerProtocol } from './grammar/wire.ts';

export const clientToRestApi: PeerProtocol = { name: 'client-to-rest.api', from: 'client', to: 'rest', version: 52 };
