/**
 * The connections that a caller gives for a virtual node: read and judged here, and sealed to db before they leave this worker, so that no password
 * stands on the bus.
 */
import { fromBase64url, utf8 } from '../../../cipher/bytes.ts';
import { sealTo } from '../../../cipher/sealed.ts';
import { connectionContext, parseConnection, type DatabaseConnection, type SealedConnection } from '../../../messages/grammar/database-connection.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { restToDbVirtualNode } from '../../../messages/rest-to-db.virtual-node.ts';
import { isRefusal, refuse } from '../refusal.ts';
import type { RestRoom } from '../room.ts';

/** Corda's names. */
export type GivenConnections = { readonly [Name in `${'vault' | 'crypto' | 'uniqueness'}${'Ddl' | 'Dml'}Connection`]?: unknown };
export type ReadConnections = { readonly dml?: DatabaseConnection; readonly ddl?: DatabaseConnection };
export type SealedConnections = { readonly dml?: SealedConnection; readonly ddl?: SealedConnection };

const isGiven = (value: unknown): boolean => value !== null && value !== undefined && value !== '';

const read = (name: string, value: unknown): DatabaseConnection | undefined | Refusal => {
  if (!isGiven(value)) return undefined;
  const parsed = parseConnection(value);
  return parsed.type === 'connection' ? parsed.connection : refuse('REST_BODY_INVALID', `${name}: ${parsed.reason}`, { [name]: parsed.reason });
};

/** What would be taken and not obeyed is refused by its name; a notary's database is taken, since no table of one exists. */
const faultOf = (given: GivenConnections): Refusal | undefined => {
  for (const name of ['cryptoDmlConnection', 'cryptoDdlConnection'] as const) {
    if (isGiven(given[name])) return refuse('REST_UNSUPPORTED', `${name}: keys are kept by the crypto worker alone, sealed, in the database that its DATABASE_URL names; leave the connection out`, { [name]: 'not supported' });
  }
  for (const name of ['uniquenessDmlConnection', 'uniquenessDdlConnection'] as const) {
    // Corda's word for a virtual node that is no notary.
    const fault = given[name] === 'none' ? undefined : read(name, given[name]);
    if (fault !== undefined && isRefusal(fault)) return fault;
  }
  return undefined;
};

/** `undefined` where the vault is to be as the cluster makes it, or as it is. */
export const readConnections = (given: GivenConnections): ReadConnections | undefined | Refusal => {
  const fault = faultOf(given);
  if (fault !== undefined) return fault;
  const dml = read('vaultDmlConnection', given.vaultDmlConnection);
  if (dml !== undefined && isRefusal(dml)) return dml;
  const ddl = read('vaultDdlConnection', given.vaultDdlConnection);
  if (ddl !== undefined && isRefusal(ddl)) return ddl;
  if (dml === undefined && ddl === undefined) return undefined;
  return { ...(dml === undefined ? {} : { dml }), ...(ddl === undefined ? {} : { ddl }) };
};

/** Only db opens them. */
export const sealConnections = async ({ requests, limits }: RestRoom, { dml, ddl }: ReadConnections): Promise<SealedConnections | Refusal> => {
  const asked = await requests.ask(restToDbVirtualNode, { key: 'connection-key', body: { type: 'connection-key' }, timeoutMs: limits.askTimeoutMs });
  if (asked.type === 'refused') return asked;
  const reader = asked.value.connectionKey;
  if (reader === undefined) return refuse('REST_UNAVAILABLE', 'db gave no key to seal the connections to');
  const seal = async (connection: DatabaseConnection): Promise<SealedConnection> => ({ reader, sealed: await sealTo(fromBase64url(reader), utf8(JSON.stringify(connection)), connectionContext) });
  return { ...(dml === undefined ? {} : { dml: await seal(dml) }), ...(ddl === undefined ? {} : { ddl: await seal(ddl) }) };
};
