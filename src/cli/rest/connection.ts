/** Which cluster a command speaks to: one that is named, the context in use, or the one that runs here. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createRestClient, type RestClient } from '../../rest-client/rest-client.ts';
import { usageError } from '../arguments.ts';
import { contextOf, parseUrl, readContexts, type Context } from '../context/contexts.ts';
import { passwordOf } from '../context/password.ts';
import { shortHashOf } from '../network.ts';
import { readStartState } from '../start-state.ts';
import { adminLogin } from '../two-clusters.ts';

/** Options of every command that speaks to a cluster, for `parseArgs`. */
export const connectionOptions = {
  context: { type: 'string' },
  url: { type: 'string' },
  user: { type: 'string' },
  password: { type: 'string' },
  token: { type: 'string' },
  state: { type: 'string' },
} as const;

export const connectionUsage = `  --context        a cluster that \`cordage context add\` has named (default CORDAGE_CONTEXT, else the one in use)
  --url, --user    REST of a cluster, for instance http://127.0.0.1:8888, and a login (default ${adminLogin})
  --password       its password; else CORDAGE_PASSWORD, else it is asked for
  --token          a bearer token, in place of login and password
  --state          state folder of a running \`cordage dev\` or \`cordage start\` (without any of these: .cordage/dev, .cordage/start)`;

export type ConnectionArguments = { readonly [Name in keyof typeof connectionOptions]?: string | undefined };

const connected = async ({ url, login = adminLogin, password, token }: Context): Promise<RestClient> =>
  createRestClient({ url, credentials: token === undefined ? { login, password: password ?? (await passwordOf(login)) } : { token } });

export type About = {
  /** A virtual node that the command is about. */
  readonly shortHash: string;
  /** Whether the command makes sense at no other cluster than the one that hosts it. */
  readonly hostedThere: boolean;
};

/** Of the clusters of `cordage start`: the one that hosts the virtual node, else the first. */
const fromState = (state: string | undefined, about: About | undefined): Promise<RestClient> => {
  const folders = (state === undefined ? ['.cordage/dev', '.cordage/start'] : [state]).map((folder) => resolve(folder)).filter((folder) => existsSync(join(folder, 'start.json')));
  const plans = folders.map(readStartState).flatMap(({ groupId, clusters }) => clusters.map((plan) => ({ plan, hash: shortHashOf({ name: plan.member, groupId }) })));
  const host = plans.find(({ hash }) => hash === about?.shortHash.toUpperCase());
  const { plan } = (about?.hostedThere === true ? host : (host ?? plans[0])) ?? {};
  if (plan !== undefined) return connected({ url: `http://127.0.0.1:${plan.restPort}`, login: adminLogin, password: plan.adminPassword });
  throw usageError(
    plans.length === 0
      ? 'no cluster is named: give --url, add a context with `cordage context add`, or run `cordage start` here'
      : `no cluster of ${folders.join(' or ')} hosts the virtual node ${about?.shortHash}; name another with --state or --url`,
  );
};

export const connect = async (given: ConnectionArguments, about?: About): Promise<RestClient> => {
  const { url, user, password, token, state } = given;
  if (url !== undefined) return connected({ url: parseUrl(url), login: user, password, token });
  const named = given.context ?? (state === undefined ? (process.env['CORDAGE_CONTEXT'] ?? readContexts().current) : null);
  if (named === null) return fromState(state, about);
  const context = contextOf(named);
  return connected({ ...context, ...(user === undefined ? {} : { login: user, password, token: undefined }), ...(password === undefined ? {} : { password }), ...(token === undefined ? {} : { token }) });
};
