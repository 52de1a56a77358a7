/** Which cluster a flow command speaks to: one that is named, or the one of `cordage dev` or `cordage start` that hosts the virtual node. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { usageError } from '../arguments.ts';
import { shortHashOf } from '../network.ts';
import { createRestClient, RestError, RestUnreachable, type RestClient } from '../../rest-client/rest-client.ts';
import { readStartState } from '../start-state.ts';
import { adminLogin } from '../two-clusters.ts';

/** Options of every flow command, for `parseArgs`. */
export const connectionOptions = {
  url: { type: 'string' },
  user: { type: 'string', default: adminLogin },
  password: { type: 'string' },
  state: { type: 'string' },
} as const;

export const connectionUsage = `  --url, --user    REST of the cluster, for instance http://127.0.0.1:8888, and a login (default ${adminLogin})
  --password       its password; or set CORDAGE_ADMIN_PASSWORD
  --state          without --url: state folder of a running \`cordage dev\` or \`cordage start\` (default .cordage/dev, .cordage/start)`;

export type ConnectionArguments = { readonly url?: string | undefined; readonly user: string; readonly password?: string | undefined; readonly state?: string | undefined };

const statesIn = (state: string | undefined): string[] => (state === undefined ? ['.cordage/dev', '.cordage/start'] : [state]).map((folder) => resolve(folder));

/** A client of the cluster that hosts this virtual node. */
export const connect = ({ url, user, password = process.env['CORDAGE_ADMIN_PASSWORD'], state }: ConnectionArguments, shortHash: string): RestClient => {
  if (url !== undefined) {
    if (password === undefined) throw usageError('--url needs --password, or CORDAGE_ADMIN_PASSWORD in the environment');
    return createRestClient({ url, credentials: { login: user, password } });
  }
  const folders = statesIn(state).filter((folder) => existsSync(join(folder, 'start.json')));
  for (const folder of folders) {
    const { groupId, clusters } = readStartState(folder);
    const plan = clusters.find(({ member }) => shortHashOf({ name: member, groupId }) === shortHash);
    if (plan !== undefined) return createRestClient({ url: `http://127.0.0.1:${plan.restPort}`, credentials: { login: adminLogin, password: plan.adminPassword } });
  }
  throw usageError(
    folders.length === 0
      ? `there is no state of a cluster in ${statesIn(state).join(' or ')}; name its folder with --state, or the cluster with --url`
      : `no cluster of ${folders.join(' or ')} hosts the virtual node ${shortHash}; name another with --state or --url`,
  );
};

/** What a person can do something about, in words. */
export const explained = (error: unknown): Error => {
  if (error instanceof RestUnreachable) return new Error('the cluster does not answer; is it running?', { cause: error });
  if (error instanceof RestError && error.status === 404) return new Error(`${error.title}. A flow is named by its virtual node, and by the client request id it was started with or by its flow id`, { cause: error });
  if (error instanceof RestError && error.status === 401) return new Error('the cluster refuses the login; give --user and --password', { cause: error });
  return error instanceof Error ? error : new Error(String(error));
};
