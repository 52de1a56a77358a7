/**
 * As whom the server runs. PostgreSQL refuses to run as root, so root lends it another account: `postgres` where there is
 * one, else one is made, else `nobody`.
 *
 * That account may not be able to reach the data directory (a checkout below /root, or in a private temporary directory).
 * Then the server is started through `setpriv` with one capability, DAC_OVERRIDE, instead of opening the directories above.
 */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './error.ts';

const run = promisify(execFile);

export type Account = {
  /** Undefined: ours. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  /** What comes before a command so that it runs as this account, and the options of its spawn. */
  readonly prefix: readonly string[];
  readonly spawn: { readonly uid?: number; readonly gid?: number };
};

const findInPasswd = async (name: string): Promise<{ uid: number; gid: number } | undefined> => {
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  const fields = lines.map((line) => line.split(':')).find(([user]) => user === name);
  if (fields === undefined) return undefined;
  const [uid, gid] = [Number(fields[2]), Number(fields[3])];
  return Number.isInteger(uid) && Number.isInteger(gid) && uid !== 0 ? { uid, gid } : undefined;
};

const makeAccount = async (name: string): Promise<void> => {
  const options = ['--system', '--user-group', '--no-create-home', '--shell', '/bin/false', name];
  // Where it cannot be made, `nobody` serves.
  await run('useradd', options).catch(() => {});
};

const findAccount = async (): Promise<{ uid: number; gid: number }> => {
  const known = await findInPasswd('postgres');
  if (known !== undefined) return known;
  await makeAccount('postgres');
  const found = (await findInPasswd('postgres')) ?? (await findInPasswd('nobody'));
  if (found === undefined) {
    throw new EmbeddedPostgresError('POSTGRES_ACCOUNT', 'PostgreSQL does not run as root, and there is no account "postgres" or "nobody" to lend it; run as an ordinary user');
  }
  return found;
};

/** Whether every directory above lets this account through. */
const canReach = async (path: string, { uid, gid }: { uid: number; gid: number }): Promise<boolean> => {
  for (let above = dirname(path); ; above = dirname(above)) {
    const { mode, uid: owner, gid: group } = await stat(above);
    const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (above === dirname(above)) return true;
  }
};

const findProgram = async (name: string): Promise<string | undefined> => {
  for (const directory of (process.env['PATH'] ?? '').split(':')) {
    const path = join(directory, name);
    const found = await stat(path).then(
      (entry) => entry.isFile(),
      () => false,
    );
    if (found) return path;
  }
  return undefined;
};

const throughSetpriv = async ({ uid, gid }: { uid: number; gid: number }, paths: readonly string[]): Promise<readonly string[]> => {
  const setpriv = await findProgram('setpriv');
  const prefix = [setpriv ?? '', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  const works = setpriv !== undefined && (await run(prefix[0]!, [...prefix.slice(1), 'true']).then(() => true, () => false));
  if (works) return prefix;
  throw new EmbeddedPostgresError(
    'POSTGRES_ACCOUNT',
    `PostgreSQL does not run as root, and the account lent to it (uid ${uid}) cannot reach ${paths.join(' or ')}; run as an ordinary user, or where others may pass the directories above`,
  );
};

/** `paths` are what the server must reach: its data and its programs. */
export const chooseAccount = async (paths: readonly string[]): Promise<Account> => {
  if (process.getuid?.() !== 0) return { ids: undefined, prefix: [], spawn: {} };
  const ids = await findAccount();
  const reachable = await Promise.all(paths.map((path) => canReach(path, ids)));
  if (reachable.every(Boolean)) return { ids, prefix: [], spawn: ids };
  return { ids, prefix: await throughSetpriv(ids, paths), spawn: {} };
};
