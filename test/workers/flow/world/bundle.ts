/** Bundles an application given as TypeScript text, with the same esbuild options as the packager. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const sdkPath = join(dirname(fileURLToPath(import.meta.url)), '../../../../src/flow-sdk/flow-sdk.ts');

export const bundleOf = async (source: string): Promise<string> => {
  const contents = `import { startableFlow, responderFlow, subFlow, entity, FlowPlatformError, parse } from '@cordage/flow-sdk';\n${any}\n${source}`;
  const { outputFiles } = await build({
    stdin: { contents, loader: 'ts', resolveDir: dirname(sdkPath) },
    alias: { '@cordage/flow-sdk': sdkPath },
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'cordageApp',
    platform: 'neutral',
    target: 'es2022',
    tsconfigRaw: {},
    write: false,
  });
  return outputFiles[0]!.text;
};

/** A schema that takes anything, and a quiet way to keep the imports used. */
const any = `
const any = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as any;
void [startableFlow, responderFlow, subFlow, entity, FlowPlatformError, parse, any];
`;
