/** `cordage package build`: a TypeScript project becomes signed CPK, CPB and CPI files. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openSigningKey } from '../packaging/build-signing-key.ts';
import { buildPackage, PackageBuildError, type BuildStep, type BuiltPackage } from '../packaging/build.ts';
import type { FlowDeclaration } from '../packaging/manifest.ts';
import { shown, usageError } from './arguments.ts';

export const packageBuildUsage = `cordage package build <project> [--group-policy <file>] [--out <folder>] [--key <folder>]

  Builds an application into a code unit (.cpk), a bundle (.cpb) and, given a group policy, an installable (.cpi).
  <project>        folder with a cordage.json (name, version, entry) or a package.json with a "cordage" field
  --group-policy   GroupPolicy.json of the network that the CPI joins
  --out            where the files go (default <project>/dist)
  --key            folder of the signing key, made on first use (default .cordage/signing-key)`;

type PackageBuildOptions = { readonly project: string; readonly groupPolicyFile: string | undefined; readonly out: string; readonly key: string };

const optionsOf = (args: readonly string[]): PackageBuildOptions => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'group-policy': { type: 'string' }, out: { type: 'string' }, key: { type: 'string', default: '.cordage/signing-key' } },
  });
  const [project, ...rest] = positionals;
  if (project === undefined) throw usageError('package build needs the folder of a project');
  if (rest.length > 0) throw usageError(`package build takes one project, not also ${rest.join(' ')}`);
  return { project: resolve(project), groupPolicyFile: values['group-policy'], out: resolve(values.out ?? join(project, 'dist')), key: resolve(values.key) };
};

const readGroupPolicy = async (path: string | undefined): Promise<string | undefined> => {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new PackageBuildError('BUILD_GROUP_POLICY_INVALID', `the group policy ${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)}); give the path of a GroupPolicy.json`, { cause });
  }
};

const flowLine = ({ name, kind, protocol }: FlowDeclaration): string => {
  const spoken = protocol === undefined ? '' : `, protocol ${protocol.name} version ${protocol.versions.join(', ')}`;
  return `            ${kind.padEnd(10)} ${name}${spoken}`;
};

const showStep = (step: BuildStep): void => {
  switch (step.type) {
    case 'project':
      return console.log(`  project   ${step.name} ${step.version}, entry ${shown(step.entry)}`);
    case 'bundled':
      return console.log(`  bundled   ${step.bytes} bytes`);
    case 'declared':
      return console.log([`  flows     ${step.flows.length}`, ...step.flows.map(flowLine)].join('\n'));
    case 'signed':
      return console.log(`  signed    and verified as a cluster would`);
  }
};

/** Each file appears whole or not at all: an interrupted build leaves no half package where an upload would find it. */
const writeWhole = async (path: string, bytes: Uint8Array): Promise<void> => {
  const draft = `${path}.${process.pid}.part`;
  await writeFile(draft, bytes);
  await rename(draft, path);
  console.log(`  wrote     ${shown(path)} (${bytes.length} bytes)`);
};

const writeFiles = async ({ cpk, cpb, cpi, fileNames }: BuiltPackage, out: string): Promise<void> => {
  await mkdir(out, { recursive: true });
  await writeWhole(join(out, fileNames.cpk), cpk);
  await writeWhole(join(out, fileNames.cpb), cpb);
  if (cpi !== undefined) await writeWhole(join(out, fileNames.cpi), cpi);
  else console.log('  no CPI    give --group-policy to make the file that a cluster installs');
};

export const packageBuild = async (args: readonly string[]): Promise<number> => {
  const { project, groupPolicyFile, out, key } = optionsOf(args);
  const groupPolicy = await readGroupPolicy(groupPolicyFile);
  const signer = await openSigningKey(key);
  const built = await buildPackage({ project, signer, onStep: showStep, ...(groupPolicy === undefined ? {} : { groupPolicy }) });
  await writeFiles(built, out);
  console.log(`  signer    import ${shown(join(key, 'signing-certificate.pem'))} into the cluster: PUT /certificate/cluster/code-signer`);
  return 0;
};
