/** Bundles an application given as TypeScript text, with the same esbuild options as the packager. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const sdkPath = join(dirname(fileURLToPath(import.meta.url)), '../../../../src/flow-sdk/flow-sdk.ts');

const options = {
  alias: { '@cordage/flow-sdk': sdkPath },
  bundle: true,
  minify: true,
  format: 'iife',
  globalName: 'cordageApp',
  platform: 'neutral',
  target: 'es2022',
  tsconfigRaw: {},
  write: false,
} as const;

export const bundleOf = async (source: string): Promise<string> => {
  const contents = `import { startableFlow, responderFlow, subFlow, entity, FlowPlatformError, parse } from '@cordage/flow-sdk';\n${any}\n${source}`;
  const { outputFiles } = await build({ ...options, stdin: { contents, loader: 'ts', resolveDir: dirname(sdkPath) } });
  return outputFiles[0]!.text;
};

/** Bundles an application that stands in a file: it exports its flows, each by name. */
export const bundleOfFile = async (path: string): Promise<string> => {
  const contents = `import * as all from ${JSON.stringify(path)};\nexport const flows = Object.values(all);`;
  const { outputFiles } = await build({ ...options, stdin: { contents, loader: 'ts', resolveDir: dirname(path) } });
  return outputFiles[0]!.text;
};

/** A schema that takes anything, and a quiet way to keep the imports used. */
const any = `
const any = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as any;
void [startableFlow, responderFlow, subFlow, entity, FlowPlatformError, parse, any];
`;
