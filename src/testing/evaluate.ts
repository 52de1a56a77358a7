/** Runs a bundle in this process so that a debugger finds the author's sources behind it. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';

export type BundleText = {
  readonly code: string;
  /** Source map (version 3) as JSON text. */
  readonly sourceMap?: string | undefined;
  /** Folder of the application: its sources are named from there. */
  readonly project: string;
  /** Under which name a debugger and a stack trace show the bundle. */
  readonly filename: string;
};

const sdkFolder = fileURLToPath(new URL('../flow-sdk/', import.meta.url));
const sdkName = '@cordage/flow-sdk/';

/** Sources by their places on this machine. */
export const localSourceMap = (sourceMap: string, project: string): string => {
  // esbuild's own output, as the packager left it.
  const map = JSON.parse(sourceMap) as { sources: string[] };
  const placeOf = (source: string): string => (source.startsWith(sdkName) ? join(sdkFolder, source.slice(sdkName.length)) : join(project, source));
  return JSON.stringify({ ...map, sources: map.sources.map((source) => pathToFileURL(placeOf(source)).href) });
};

const withMap = ({ code, sourceMap, project }: BundleText): string => {
  if (sourceMap === undefined) return code;
  const text = Buffer.from(localSourceMap(sourceMap, project)).toString('base64');
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${text}`;
};

/**
 * A bundle is a script that declares `cordageApp`. It is run as a script, with nothing before it: its places fit its map, and debuggers
 * are told of it before its first line runs, in time for breakpoints.
 */
export const evaluateBundle = (text: BundleText): unknown =>
  // The script's value is that of its last expression.
  new Script(withMap({ ...text, code: `${text.code}\n;cordageApp;` }), { filename: text.filename }).runInThisContext() as unknown;

/** The file name of a project's bundle: nothing stands there, but debuggers want a path. */
export const bundleFileOf = (project: string): string => join(project, '.cordage', 'bundle.js');
