/** `cordage package cpi`: a CPB that somebody built becomes a CPI of a network. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openSigningKey } from '../packaging/build-signing-key.ts';
import { PackageBuildError, wrapCpb, type BuildErrorCode } from '../packaging/build.ts';
import { usageError } from './arguments.ts';

export const packageCpiUsage = `cordage package cpi --cpb <file> --group-policy <file> [--name <name>] [--version <version>] [--out <folder>] [--key <folder>]

  Makes an installable (.cpi) of a bundle (.cpb) that was built before, by you or by a vendor. Its own signatures stay.
  --cpb            the bundle
  --group-policy   GroupPolicy.json of the network that the CPI joins
  --name           of the CPI (default the bundle's)
  --version        of the CPI (default the bundle's)
  --out            where the file goes (default the bundle's folder)
  --key            folder of the signing key, made on first use (default .cordage/signing-key)`;

type PackageCpiOptions = {
  readonly cpb: string;
  readonly groupPolicy: string;
  readonly names: { readonly name?: string; readonly version?: string };
  readonly out: string;
  readonly key: string;
};

const text = { type: 'string' } as const;

const optionsOf = (args: readonly string[]): PackageCpiOptions => {
  const { values } = parseArgs({ args: [...args], options: { cpb: text, 'group-policy': text, name: text, version: text, out: text, key: { ...text, default: '.cordage/signing-key' } } });
  const { cpb, 'group-policy': groupPolicy, name, version, out, key } = values;
  if (cpb === undefined || groupPolicy === undefined) throw usageError('package cpi needs --cpb and --group-policy');
  const names = { ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }) };
  return { cpb: resolve(cpb), groupPolicy: resolve(groupPolicy), names, out: resolve(out ?? dirname(cpb)), key: resolve(key) };
};

const readAs = async (path: string, code: BuildErrorCode): Promise<Uint8Array> => {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new PackageBuildError(code, `${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)}); give the path of a file`, { cause });
  }
};

export const packageCpi = async (args: readonly string[]): Promise<number> => {
  const options = optionsOf(args);
  const cpb = new Uint8Array(await readAs(options.cpb, 'BUILD_CPB_INVALID'));
  const groupPolicy = new TextDecoder().decode(await readAs(options.groupPolicy, 'BUILD_GROUP_POLICY_INVALID'));
  const { fileName, cpi } = await wrapCpb({ cpb, groupPolicy, signer: await openSigningKey(options.key), ...options.names });
  await mkdir(options.out, { recursive: true });
  const path = join(options.out, fileName);
  // Whole or not at all, where an upload would find it.
  await writeFile(`${path}.${process.pid}.part`, cpi);
  await rename(`${path}.${process.pid}.part`, path);
  console.log(`  wrote     ${path} (${cpi.length} bytes)`);
  console.log(`  signer    the cluster must know ${join(options.key, 'signing-certificate.pem')} and the bundle's own signers as code-signer`);
  return 0;
};
