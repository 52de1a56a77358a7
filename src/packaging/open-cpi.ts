/**
 * Opens a CPI: everything about it is checked before anything of it is used.
 *
 * A CPI holds `GroupPolicy.json` and at most one CPB, a CPB holds CPKs, a CPK holds `bundle.js` and, where it has them, its source map and
 * its schema (docs/packages.md). Each of the three is signed on its own,
 * by one signer or by several, and each signer must be trusted: an operator may wrap a vendor's CPB in a CPI of their own where the
 * cluster trusts both.
 */
import { readTrusted } from './certificates.ts';
import { packageLimits } from './config.ts';
import { openContainer, type OpenedContainer } from './container.ts';
import { parseGroupPolicy, type GroupPolicy } from './group-policy.ts';
import { invalid, type Invalid } from './invalid.ts';
import { bundleEntry, groupPolicyEntry, schemaEntry, sourceMapEntry, type FlowDeclaration } from './manifest.ts';
import { parseSchema, type PackageSchema } from './schema.ts';
import type { Trust } from './signature.ts';
import type { ZipEntries } from './zip.ts';

/** Corda's identifier of a package. */
export type PackageId = { readonly name: string; readonly version: string; readonly signerSummaryHash: string };

export type OpenedCpk = {
  /** SHA-256 of the CPK file, upper-case hex. */
  readonly hash: string;
  readonly id: PackageId;
  readonly flows: readonly FlowDeclaration[];
  /** UTF-8 of the bundle: a script whose global `cordageApp` is `{ flows }`. */
  readonly bundle: Uint8Array;
  /** Source map of the bundle: JSON in UTF-8 that nobody has looked into. */
  readonly sourceMap?: Uint8Array;
  /** What it keeps in vaults beside plain entities. */
  readonly schema?: PackageSchema;
};

export type OpenedCpb = { readonly type: 'cpb'; readonly hash: string; readonly id: PackageId; readonly cpks: readonly OpenedCpk[] };

export type OpenedCpi = {
  readonly type: 'cpi';
  readonly id: PackageId;
  /** SHA-256 of the CPI file, upper-case hex. */
  readonly fullChecksum: string;
  readonly groupPolicy: GroupPolicy;
  /** The policy file as it stands in the CPI. */
  readonly groupPolicyText: string;
  readonly cpks: readonly OpenedCpk[];
};

export type OpenOptions = {
  /** PEM texts of the certificates that the cluster trusts as code signers (each may hold several). */
  readonly trustedSigners: readonly string[];
  /** Milliseconds since the epoch at which certificates must be in their dates. */
  readonly now: number;
};

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const textOfFile = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
};

type Identified = { readonly manifest: { readonly name: string; readonly version: string }; readonly signer: { readonly summaryHash: string } };

const idOf = ({ manifest, signer }: Identified): PackageId => ({
  name: manifest.name,
  version: manifest.version,
  signerSummaryHash: signer.summaryHash,
});

const inside = (where: string, fault: Invalid): Invalid => invalid(fault.code, `${where}: ${fault.reason}`);

/** The first value of a list that stands in it twice. */
const repeated = (values: readonly string[]): string | undefined => values.find((value, at) => values.indexOf(value) !== at);

// ── CPK ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a CPK may hold, and how many bytes of it. */
const cpkParts: ReadonlyMap<string, number> = new Map([
  [bundleEntry, packageLimits.bundleBytesMax],
  [sourceMapEntry, packageLimits.sourceMapBytesMax],
  [schemaEntry, packageLimits.schemaBytesMax],
]);

const checkParts = (files: ZipEntries): Invalid | undefined => {
  if (!files.has(bundleEntry)) return invalid('PACKAGE_CONTENT_MISMATCH', `a CPK holds ${bundleEntry}`);
  for (const [name, content] of files) {
    const bytesMax = cpkParts.get(name);
    if (bytesMax === undefined) return invalid('PACKAGE_CONTENT_MISMATCH', `a CPK holds ${[...cpkParts.keys()].join(', ')} and nothing else, not ${name}`);
    if (content.length > bytesMax) return invalid('PACKAGE_TOO_LARGE', `${name} has more than ${bytesMax} bytes`);
    if (textOfFile(content) === undefined) return invalid('PACKAGE_CONTENT_MISMATCH', `${name} is not UTF-8`);
  }
  return undefined;
};

const openCpk = async (bytes: Uint8Array, trust: Trust): Promise<{ type: 'cpk'; cpk: OpenedCpk } | Invalid> => {
  const opened = await openContainer(bytes, 'cpk', trust);
  if (opened.type === 'invalid') return opened;
  const fault = checkParts(opened.files);
  if (fault !== undefined) return fault;
  const part = (name: string): Uint8Array | undefined => opened.files.get(name);
  const [bundle, sourceMap, schemaFile] = [part(bundleEntry)!, part(sourceMapEntry), part(schemaEntry)];
  const read = schemaFile === undefined ? undefined : parseSchema(textOfFile(schemaFile)!);
  if (read?.type === 'invalid') return invalid('PACKAGE_SCHEMA_INVALID', `${schemaEntry}: ${read.reason}`);
  const optional = { ...(sourceMap === undefined ? {} : { sourceMap }), ...(read === undefined ? {} : { schema: read.schema }) };
  return { type: 'cpk', cpk: { hash: opened.hash, id: idOf(opened), flows: opened.manifest.flows, bundle, ...optional } };
};

// ── CPB ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Names that REST and counterparties use must lead to one flow, and a table must belong to one code unit. */
const checkTogether = (cpks: readonly OpenedCpk[]): Invalid | undefined => {
  const twice = repeated(cpks.map(({ id }) => id.name));
  if (twice !== undefined) return invalid('PACKAGE_CONFLICT', `two CPKs are called ${twice}`);
  const flows = cpks.flatMap((cpk) => cpk.flows);
  const flowTwice = repeated(flows.map(({ name }) => name));
  if (flowTwice !== undefined) return invalid('PACKAGE_CONFLICT', `two flows are called ${flowTwice}`);
  const answers = flows.flatMap(({ kind, protocol }) => (kind === 'responder' && protocol !== undefined ? protocol.versions.map((version) => `${protocol.name} version ${version}`) : []));
  const answerTwice = repeated(answers);
  if (answerTwice !== undefined) return invalid('PACKAGE_CONFLICT', `two responders answer ${answerTwice}`);
  const tableTwice = repeated(cpks.flatMap(({ schema }) => [...(schema?.catalog.keys() ?? [])]));
  return tableTwice === undefined ? undefined : invalid('PACKAGE_CONFLICT', `two CPKs create the table ${tableTwice}`);
};

const openCpbWith = async (bytes: Uint8Array, trust: Trust): Promise<OpenedCpb | Invalid> => {
  const opened = await openContainer(bytes, 'cpb', trust);
  if (opened.type === 'invalid') return opened;
  if (opened.files.size === 0) return invalid('PACKAGE_CONTENT_MISMATCH', 'a CPB holds at least one CPK');
  if (opened.files.size > packageLimits.cpksMax) return invalid('PACKAGE_TOO_LARGE', `more than ${packageLimits.cpksMax} CPKs`);
  const cpks: OpenedCpk[] = [];
  for (const [name, content] of opened.files) {
    if (!name.endsWith('.cpk')) return invalid('PACKAGE_CONTENT_MISMATCH', `a CPB holds .cpk files and nothing else, not ${name}`);
    const cpk = await openCpk(content, trust);
    if (cpk.type === 'invalid') return inside(name, cpk);
    cpks.push(cpk.cpk);
  }
  return checkTogether(cpks) ?? { type: 'cpb', hash: opened.hash, id: idOf(opened), cpks };
};

// ── CPI ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

type ReadPolicy = { readonly type: 'policy'; readonly policy: GroupPolicy; readonly text: string } | Invalid;

const readPolicy = (opened: OpenedContainer<'cpi'>): ReadPolicy => {
  const bytes = opened.files.get(groupPolicyEntry);
  if (bytes === undefined) return invalid('PACKAGE_CONTENT_MISMATCH', `a CPI holds ${groupPolicyEntry}`);
  const text = textOfFile(bytes);
  if (text === undefined) return invalid('PACKAGE_GROUP_POLICY_INVALID', `${groupPolicyEntry} is not UTF-8`);
  const parsed = parseGroupPolicy(text);
  if (parsed.type === 'invalid') return invalid('PACKAGE_GROUP_POLICY_INVALID', `${groupPolicyEntry}: ${parsed.reasons.join('; ')}`);
  return { type: 'policy', policy: parsed.policy, text };
};

const openCpks = async (opened: OpenedContainer<'cpi'>, policy: GroupPolicy, trust: Trust): Promise<OpenedCpb | Invalid | { readonly type: 'none' }> => {
  const others = [...opened.files].filter(([name]) => name !== groupPolicyEntry);
  const [cpb] = others;
  if (others.length > 1 || (cpb !== undefined && !cpb[0].endsWith('.cpb'))) {
    return invalid('PACKAGE_CONTENT_MISMATCH', `a CPI holds ${groupPolicyEntry}, at most one .cpb file and nothing else`);
  }
  if (cpb === undefined) return policy.type === 'mgm' ? { type: 'none' } : invalid('PACKAGE_CONTENT_MISMATCH', "a CPI without a CPB is for an MGM's group policy only");
  const result = await openCpbWith(cpb[1], trust);
  return result.type === 'invalid' ? inside(cpb[0], result) : result;
};

const openCpiWith = async (bytes: Uint8Array, trust: Trust): Promise<OpenedCpi | Invalid> => {
  const opened = await openContainer(bytes, 'cpi', trust);
  if (opened.type === 'invalid') return opened;
  const policy = readPolicy(opened);
  if (policy.type === 'invalid') return policy;
  const cpb = await openCpks(opened, policy.policy, trust);
  if (cpb.type === 'invalid') return cpb;
  const cpks = cpb.type === 'none' ? [] : cpb.cpks;
  return { type: 'cpi', id: idOf(opened), fullChecksum: opened.hash, groupPolicy: policy.policy, groupPolicyText: policy.text, cpks };
};

// ── Doors ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whatever a stranger's bytes make our libraries throw is one more way to be refused. */
const guarded = async <Opened>(open: () => Promise<Opened | Invalid>): Promise<Opened | Invalid> => {
  try {
    return await open();
  } catch (error) {
    return invalid('PACKAGE_UNREADABLE', `the package cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
};

const trustOf = ({ trustedSigners, now }: OpenOptions): Trust => ({ trusted: readTrusted(trustedSigners), now });

/** Opens a CPI file, or says why it is refused. Never throws. */
export const openCpi = (bytes: Uint8Array, options: OpenOptions): Promise<OpenedCpi | Invalid> => guarded(() => openCpiWith(bytes, trustOf(options)));

/** Opens a CPB file on its own, or says why it is refused. Never throws. */
export const openCpb = (bytes: Uint8Array, options: OpenOptions): Promise<OpenedCpb | Invalid> => guarded(() => openCpbWith(bytes, trustOf(options)));
