/**
 * Builds an application into CPK, CPB and, given a group policy, CPI. Needs Node and esbuild; clusters use `open-cpi.ts`, which needs
 * neither.
 */
import { utf8 } from '../cipher/bytes.ts';
import { buildLimits } from './config.ts';
import { bundleProject, type Bundle } from './build/bundle.ts';
import { cpbFileName, cpiFileName, cpkFileName, writeCpb, writeCpi, writeCpk, type Signer } from './build/containers.ts';
import { readApplication, type Application } from './build/declarations.ts';
import { PackageBuildError } from './build/error.ts';
import { readProject, type Project } from './build/project.ts';
import { parseGroupPolicy } from './group-policy.ts';
import { manifestEntry, readManifest, type FlowDeclaration } from './manifest.ts';
import { openCpb, openCpi } from './open-cpi.ts';
import { readZip } from './zip.ts';

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

type Made = { readonly project: Project; readonly bundle: Bundle; readonly application: Application };

const sign = async ({ project, bundle, application }: Made, { signer, groupPolicy }: BuildOptions): Promise<BuiltPackage> => {
  const { name, version } = project;
  const { flows, schema } = application;
  const id = { name, version };
  const fileNames = { cpk: cpkFileName(id), cpb: cpbFileName(id), cpi: cpiFileName(id) };
  const content = { bundle: bundle.code, sourceMap: bundle.sourceMap, ...(schema === undefined ? {} : { schema: utf8(schema) }) };
  const cpk = await writeCpk({ ...id, ...content, flows }, signer);
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
  const application = await readApplication(bundle.code, evaluationMsMax);
  onStep({ type: 'declared', flows: application.flows });
  const built = await sign({ project, bundle, application }, options);
  await checkOpens(built, signer, now);
  onStep({ type: 'signed', files: [built.fileNames.cpk, built.fileNames.cpb, ...(built.cpi === undefined ? [] : [built.fileNames.cpi])] });
  return built;
};

export type WrapOptions = {
  /** The file of a CPB that somebody built; its own signatures stay as they are. */
  readonly cpb: Uint8Array;
  /** Text of the group policy file. */
  readonly groupPolicy: string;
  readonly signer: Signer;
  /** Of the CPI; by default the CPB's. */
  readonly name?: string;
  readonly version?: string;
};

/**
 * Makes a CPI of a CPB. Whether the CPB's signers are trusted is for the cluster to say that installs it: only what it calls itself is read
 * here. Throws PackageBuildError.
 */
export const wrapCpb = async ({ cpb, groupPolicy, signer, name, version }: WrapOptions): Promise<{ readonly fileName: string; readonly cpi: Uint8Array }> => {
  checkGroupPolicy(groupPolicy);
  const zip = readZip(cpb);
  const manifest = zip.type === 'invalid' ? zip : readManifest(zip.entries.get(manifestEntry) ?? new Uint8Array(), 'cpb');
  if (manifest.type === 'invalid') throw new PackageBuildError('BUILD_CPB_INVALID', `the file is no CPB (${manifest.code}): ${manifest.reason}`);
  const id = { name: name ?? manifest.manifest.name, version: version ?? manifest.manifest.version };
  return { fileName: cpiFileName(id), cpi: await writeCpi({ ...id, cpb, groupPolicy }, signer) };
};
