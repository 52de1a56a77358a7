/**
 * Builds an application into CPK, CPB and, given a group policy, CPI. Needs Node and esbuild; clusters use `open-cpi.ts`, which needs
 * neither.
 */
import { buildLimits } from './config.ts';
import { bundleProject, type Bundle } from './build/bundle.ts';
import { cpbFileName, cpiFileName, cpkFileName, writeCpb, writeCpi, writeCpk, type Signer } from './build/containers.ts';
import { readDeclarations } from './build/declarations.ts';
import { PackageBuildError } from './build/error.ts';
import { readProject, type Project } from './build/project.ts';
import { parseGroupPolicy } from './group-policy.ts';
import type { FlowDeclaration } from './manifest.ts';
import { openCpb, openCpi } from './open-cpi.ts';

export { PackageBuildError } from './build/error.ts';
export type { BuildErrorCode } from './build/error.ts';

/** What the builder has just done, for whoever shows progress. */
export type BuildStep =
  | { readonly type: 'project'; readonly name: string; readonly version: string; readonly entry: string }
  | { readonly type: 'bundled'; readonly bytes: number }
  | { readonly type: 'declared'; readonly flows: readonly FlowDeclaration[] }
  | { readonly type: 'signed'; readonly files: readonly string[] };

export type BuildOptions = {
  /** Folder of the application. */
  readonly project: string;
  /** Text of the group policy file; without it there is no CPI. */
  readonly groupPolicy?: string;
  readonly signer: Signer;
  /** Milliseconds since the epoch at which the signer's certificate must be in its dates. Default: the system's time. */
  readonly now?: number;
  /** Milliseconds that the application may take to load while its flows are listed. */
  readonly evaluationMsMax?: number;
  readonly onStep?: (step: BuildStep) => void;
};

export type BuiltPackage = {
  readonly name: string;
  readonly version: string;
  readonly flows: readonly FlowDeclaration[];
  readonly cpk: Uint8Array;
  readonly cpb: Uint8Array;
  readonly cpi?: Uint8Array;
  /** File names that the three go by. */
  readonly fileNames: { readonly cpk: string; readonly cpb: string; readonly cpi: string };
};

const checkGroupPolicy = (text: string): void => {
  const parsed = parseGroupPolicy(text);
  if (parsed.type === 'invalid') throw new PackageBuildError('BUILD_GROUP_POLICY_INVALID', `the group policy is refused:\n${parsed.reasons.map((reason) => `  ${reason}`).join('\n')}`);
};

const sign = async ({ name, version }: Project, { code, sourceMap }: Bundle, flows: readonly FlowDeclaration[], { signer, groupPolicy }: BuildOptions): Promise<BuiltPackage> => {
  const id = { name, version };
  const fileNames = { cpk: cpkFileName(id), cpb: cpbFileName(id), cpi: cpiFileName(id) };
  const cpk = await writeCpk({ ...id, bundle: code, sourceMap, flows }, signer);
  const cpb = await writeCpb({ ...id, cpks: new Map([[fileNames.cpk, cpk]]) }, signer);
  const cpi = groupPolicy === undefined ? undefined : await writeCpi({ ...id, cpb, groupPolicy }, signer);
  return { ...id, flows, cpk, cpb, ...(cpi === undefined ? {} : { cpi }), fileNames };
};

/** What a cluster that trusts the signer would say: better heard here than after an upload. */
const checkOpens = async ({ cpb, cpi }: BuiltPackage, signer: Signer, now: number): Promise<void> => {
  const trust = { trustedSigners: [signer.certificateChainPem], now };
  const opened = cpi === undefined ? await openCpb(cpb, trust) : await openCpi(cpi, trust);
  if (opened.type === 'invalid') throw new PackageBuildError('BUILD_REFUSED', `a cluster would refuse the package (${opened.code}): ${opened.reason}`);
};

/** Builds and signs; writes nothing. Throws PackageBuildError with cause and remedy. */
export const buildPackage = async (options: BuildOptions): Promise<BuiltPackage> => {
  const { signer, groupPolicy, now = Date.now(), evaluationMsMax = buildLimits.evaluationMsMax, onStep = () => {} } = options;
  const project = readProject(options.project);
  onStep({ type: 'project', name: project.name, version: project.version, entry: project.entry });
  if (groupPolicy !== undefined) checkGroupPolicy(groupPolicy);
  const bundle = await bundleProject(project);
  onStep({ type: 'bundled', bytes: bundle.code.length });
  const flows = await readDeclarations(bundle.code, evaluationMsMax);
  onStep({ type: 'declared', flows });
  const built = await sign(project, bundle, flows, options);
  await checkOpens(built, signer, now);
  onStep({ type: 'signed', files: [built.fileNames.cpk, built.fileNames.cpb, ...(built.cpi === undefined ? [] : [built.fileNames.cpi])] });
  return built;
};
