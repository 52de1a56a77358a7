/**
 * Bundles an application into one script whose global `cordageApp` is `{ flows, schema }`: every flow that its entry exports, and its lists
 * `entities` and `migrations`, which are read once, when the package is built.
 */
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildFailure, type Message } from 'esbuild';
import { PackageBuildError } from './error.ts';
import type { Project } from './project.ts';

/** The name by which applications import the SDK. */
const sdkName = '@cordage/flow-sdk';
/** The SDK's text is bundled into the application; nothing of it is loaded here, so this is no import. */
const cordagePath = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const sdkPath = join(cordagePath, 'src', 'flow-sdk', 'flow-sdk.ts');

/** Collects what the author exports. `cordageFlow` is the brand that the SDK's constructors set. */
const wrapperOf = (entry: string): string => `
import * as application from ${JSON.stringify(entry)};
export const flows = Object.values(application).filter((value) => value?.cordageFlow === 1);
const { entities, migrations } = { ...application };
export const schema = { entities, migrations };
`;

const errorsShownMax = 10;

const remedyOf = ({ text }: Message): string => {
  if (/Could not resolve "(node:)?(fs|path|os|net|http|https|crypto|child_process|worker_threads|process|url|util|stream|buffer|events)(\/\w+)?"/.test(text)) {
    return ' (flow code runs in a sandbox without a platform: use what the flow context offers)';
  }
  return text.startsWith('Could not resolve') ? ' (install it in the project, or correct the path)' : '';
};

const errorText = (message: Message): string => {
  const { location, text } = message;
  const place = location === null ? '' : `${location.file}:${location.line}:${location.column}: `;
  return `  ${place}${text}${remedyOf(message)}`;
};

/** Only a name: nothing is written, and sources are named relative to it. */
const bundleName = 'bundle.js';

/** What Cordage brings along lies elsewhere on every machine; by its name it is the same everywhere. */
const portableMap = (map: Uint8Array, directory: string): Uint8Array => {
  // esbuild's own output.
  const { version, sources, names, mappings } = JSON.parse(new TextDecoder().decode(map)) as { version: number; sources: string[]; names: string[]; mappings: string };
  const folderOf = (path: string): string => `${relative(directory, path).replaceAll('\\', '/')}/`;
  const places = [[folderOf(dirname(sdkPath)), `${sdkName}/`], [folderOf(cordagePath), '@cordage/']] as const;
  const portable = sources.map((source) => {
    const place = places.find(([folder]) => source.startsWith(folder));
    return place === undefined ? source : `${place[1]}${source.slice(place[0].length)}`;
  });
  return new TextEncoder().encode(JSON.stringify({ version, sources: portable, names, mappings }));
};

const isBuildFailure = (error: unknown): error is BuildFailure => error instanceof Error && 'errors' in error && Array.isArray(error.errors);

export type Bundle = {
  /** JavaScript in UTF-8. */
  readonly code: Uint8Array;
  /** Where its places stand in the author's files: a source map (version 3) in UTF-8, without the sources. */
  readonly sourceMap: Uint8Array;
};

/** The same sources give the same bytes, wherever the project lies. */
export const bundleProject = async ({ directory, entry }: Project): Promise<Bundle> => {
  if (!existsSync(sdkPath)) throw new PackageBuildError('BUILD_BUNDLE_FAILED', `the flow SDK is missing at ${sdkPath}; install Cordage again`);
  try {
    const { outputFiles } = await build({
      stdin: { contents: wrapperOf(entry), resolveDir: directory, sourcefile: 'cordage-entry.ts', loader: 'ts' },
      absWorkingDir: directory,
      alias: { [sdkName]: sdkPath },
      bundle: true,
      // Minified, because whitespace-preserving output may hold `-->`, which the sandbox takes for an HTML comment and refuses.
      minify: true,
      format: 'iife',
      globalName: 'cordageApp',
      platform: 'neutral',
      mainFields: ['module', 'main'],
      conditions: ['import'],
      target: 'es2022',
      charset: 'utf8',
      legalComments: 'none',
      treeShaking: true,
      tsconfigRaw: {},
      logLevel: 'silent',
      sourcemap: 'external',
      sourcesContent: false,
      outfile: bundleName,
      write: false,
    });
    const contentOf = (ending: string): Uint8Array => outputFiles.find(({ path }) => path.endsWith(ending))!.contents;
    return { code: contentOf(bundleName), sourceMap: portableMap(contentOf('.map'), directory) };
  } catch (cause) {
    if (!isBuildFailure(cause)) throw cause;
    const shown = cause.errors.slice(0, errorsShownMax).map(errorText).join('\n');
    throw new PackageBuildError('BUILD_BUNDLE_FAILED', `the application does not bundle:\n${shown}`, { cause });
  }
};
