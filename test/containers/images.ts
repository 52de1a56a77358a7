/**
 * Builds the images where no registry can be reached: the Dockerfile as it stands, its two bases made from scratch of this machine's
 * C library, npm's Node 24 and npm itself. Needs root and buildah.
 *
 *     node test/containers/images.ts [target]…      builds localhost/cordage/<target>
 */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const outputBytesMax = 64 * 1024 * 1024;

/** Builds at a time: they wait for the disk more than for the processor. */
const buildersMax = 3;

export const imageOf = (target: string): string => `localhost/cordage/${target}`;

const dockerfile = (): string => readFileSync(join(root, 'containers/Dockerfile'), 'utf8');

/** The targets that the Dockerfile gives an image to, in its order. */
export const imageTargets = (): string[] => [...dockerfile().matchAll(/^FROM (?:process|room|\$\{COMBINED\}) AS (\S+)$/gm)].map(([, target]) => target!).filter((target) => target !== 'room');

/** The stages that an image stands on, and its own: buildah of Debian 12 would build all that come before. */
const stagesOf = (target: string): string =>
  dockerfile()
    .split(/^(?=FROM )/m)
    .filter((stage) => {
      const name = /^FROM \S+ AS (\S+)/.exec(stage)?.[1];
      return name === undefined || name === target || !imageTargets().includes(name);
    })
    .join('');

const succeeds = (command: string, ...args: readonly string[]): boolean => {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Why images cannot be built or run here, or `undefined`. Installs the tools where root may. */
export const whyNoContainers = (): string | undefined => {
  if (process.platform !== 'linux') return 'containers need Linux';
  if (process.getuid?.() !== 0) return 'only root can build images from scratch here';
  const tools = ['podman', 'buildah', 'runc'];
  const missing = (): string[] => tools.filter((tool) => !succeeds(tool, '--version'));
  if (missing().length > 0 && succeeds('apt-get', '--version')) {
    const installed = succeeds('apt-get', 'install', '-y', '-qq', ...tools) || (succeeds('apt-get', 'update', '-qq') && succeeds('apt-get', 'install', '-y', '-qq', ...tools));
    if (!installed) return `apt-get cannot install ${missing().join(', ')}`;
  }
  return missing().length === 0 ? undefined : `${missing().join(', ')} cannot be found`;
};

/** Shared libraries of a program, with their loader. */
const librariesOf = (program: string): string[] =>
  [...execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);

const place = (from: string, rootFolder: string, to: string): void => {
  const target = join(rootFolder, to);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(realpathSync(from), target);
};

const authorities = '/etc/ssl/certs/ca-certificates.crt';

/** What a base image holds: Node, its libraries and those that PostgreSQL wants, the names of its users. */
const layBase = (folder: string): void => {
  const node = realpathSync(join(root, 'node_modules/node/bin/node'));
  place(node, folder, 'usr/local/bin/node');
  const libraries = new Set([...librariesOf(node), ...librariesOf('/bin/ls').filter((path) => path.includes('ld-linux'))]);
  for (const path of libraries) place(path, folder, path);
  for (const extra of ['librt.so.1', 'libnss_files.so.2', 'libresolv.so.2']) {
    const beside = join(dirname([...libraries].find((path) => path.includes('libc.so'))!), extra);
    if (existsSync(beside)) place(beside, folder, beside);
  }
  if (existsSync(authorities)) place(authorities, folder, authorities);
  mkdirSync(join(folder, 'etc'), { recursive: true });
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n');
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  writeFileSync(join(folder, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  mkdirSync(join(folder, 'tmp'), { recursive: true });
  // Beside what the umask leaves.
  chmodSync(join(folder, 'tmp'), 0o1777);
};

const buildah = (...args: readonly string[]): Promise<unknown> => run('buildah', [...args], { cwd: root, maxBuffer: outputBytesMax });

const buildScratch = async (name: string, folder: string, environment: Readonly<Record<string, string>> = {}): Promise<void> => {
  const lines = Object.entries(environment).map(([key, value]) => `ENV ${key}=${value}`);
  writeFileSync(join(folder, 'Dockerfile'), ['FROM scratch', 'COPY root/ /', ...lines].join('\n'));
  await buildah('bud', '--layers', '--timestamp', '0', '-t', name, folder);
};

const buildBases = async (folder: string): Promise<void> => {
  layBase(join(folder, 'root'));
  await buildScratch(imageOf('scratch-base'), folder);
  for (const path of ['/bin/sh', ...librariesOf('/bin/sh')]) place(path, join(folder, 'root'), path);
  await buildScratch(imageOf('scratch-shell'), folder);
  const npm = join(execFileSync('npm', ['root', '-g'], { encoding: 'utf8' }).trim(), 'npm');
  cpSync(npm, join(folder, 'root/usr/local/lib/node_modules/npm'), { recursive: true, dereference: true });
  await buildScratch(imageOf('scratch-build'), folder, { npm_config_cafile: authorities, npm_config_cache: '/npm-cache', npm_config_prefer_offline: 'true' });
};

const npmCache = (): string => execFileSync('npm', ['config', 'get', 'cache'], { encoding: 'utf8' }).trim();

/** Docker's image format, since OCI's knows no health check. */
const buildTarget = async (target: string, folder: string): Promise<void> => {
  const file = join(folder, `Dockerfile.${target}`);
  writeFileSync(file, stagesOf(target));
  await buildah(
    'bud', '--layers', '--format', 'docker', '--isolation', 'chroot', '--network', 'host', '--timestamp', '0',
    '--volume', `${npmCache()}:/npm-cache:rw`,
    '--build-arg', `BASE=${imageOf('scratch-base')}`, '--build-arg', `BUILD=${imageOf('scratch-build')}`, '--build-arg', `COMBINED=${imageOf('scratch-shell')}`,
    '--ignorefile', 'containers/Dockerfile.dockerignore', '-f', file, '-t', imageOf(target), '.',
  );
};

export const buildImages = async (targets: readonly string[] = imageTargets()): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'cordage-images-'));
  try {
    await buildBases(folder);
    // The first makes the layers that serve the rest.
    const [first, ...rest] = targets;
    if (first !== undefined) await buildTarget(first, folder);
    const next = rest.values();
    const builder = async (): Promise<void> => {
      for (const target of next) await buildTarget(target, folder);
    };
    await Promise.all(Array.from({ length: buildersMax }, builder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** In bytes, everything unpacked. */
export const imageBytes = (target: string): number => Number(execFileSync('podman', ['image', 'inspect', '--format', '{{.Size}}', imageOf(target)], { encoding: 'utf8' }));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const why = whyNoContainers();
  if (why !== undefined) throw new Error(why);
  const targets = process.argv.length > 2 ? process.argv.slice(2) : imageTargets();
  await buildImages(targets);
  for (const target of targets) console.log(`${imageOf(target)}  ${(imageBytes(target) / 1e6).toFixed(0)} MB`);
}
