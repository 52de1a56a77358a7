/**
 * `MANIFEST.json`: what a package is and the SHA-256 of every file in it, `MANIFEST.json` and `signature.jws` apart. It is what
 * the signature covers.
 */
import * as z from 'zod';
import { packageLimits } from './config.ts';
import { invalid, type Invalid } from './invalid.ts';
import { isEntryName } from './zip.ts';

export const manifestEntry = 'MANIFEST.json';
export const signatureEntry = 'signature.jws';
export const bundleEntry = 'bundle.js';
export const sourceMapEntry = 'bundle.js.map';
export const schemaEntry = 'schema.json';
export const groupPolicyEntry = 'GroupPolicy.json';

/** Version of the package format: the zip, the manifest, the signature, and what a bundle's value is. */
export const formatVersion = 1;

/** Name and version appear in file names and in REST paths. */
export const packageName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'a package name has 1 to 100 letters, digits, ".", "_" and "-", and begins with a letter or digit');
export const packageVersion = z
  .string()
  .regex(/^[0-9A-Za-z][0-9A-Za-z.-]{0,49}$/, 'a version has 1 to 50 letters, digits, "." and "-", for example 1.0.0');

const flowName = z
  .string()
  .regex(/^[._$a-zA-Z0-9]{1,250}$/, 'a flow name has 1 to 250 letters, digits, ".", "_" and "$", for example com.example.Ping');
const protocol = z.strictObject({
  name: z.string().min(1).max(250),
  versions: z.array(z.int().positive()).min(1).max(100),
});

export const flowDeclaration = z
  .strictObject({ name: flowName, kind: z.enum(['startable', 'responder', 'subflow']), protocol: protocol.optional() })
  .refine(({ kind, protocol: spoken }) => kind !== 'responder' || spoken !== undefined, 'a responder flow needs a protocol');
export type FlowDeclaration = z.infer<typeof flowDeclaration>;

export const flowDeclarations = z.array(flowDeclaration).max(packageLimits.flowsMax);

const entry = z.strictObject({
  name: z.string().refine(isEntryName, 'not a name that an entry may have'),
  bytes: z.int().nonnegative().max(packageLimits.fileBytesMax),
  /** Upper-case hex. */
  sha256: z.string().regex(/^[0-9A-F]{64}$/),
});
export type ManifestEntry = z.infer<typeof entry>;

const fields = {
  formatVersion: z.literal(formatVersion),
  name: packageName,
  version: packageVersion,
  entries: z.array(entry).max(packageLimits.entriesMax),
};

const manifest = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('cpk'), ...fields, flows: flowDeclarations }),
  z.strictObject({ kind: z.literal('cpb'), ...fields }),
  z.strictObject({ kind: z.literal('cpi'), ...fields }),
]);
export type Manifest = z.infer<typeof manifest>;
export type PackageKind = Manifest['kind'];
export type ManifestOf<Kind extends PackageKind> = Extract<Manifest, { kind: Kind }>;

export const writeManifest = (value: Manifest): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

export type ReadManifest<Kind extends PackageKind> = { readonly type: 'manifest'; readonly manifest: ManifestOf<Kind> } | Invalid;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const isOfKind = <Kind extends PackageKind>(value: Manifest, kind: Kind): value is ManifestOf<Kind> => value.kind === kind;

export const readManifest = <Kind extends PackageKind>(bytes: Uint8Array, kind: Kind): ReadManifest<Kind> => {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(bytes));
  } catch {
    return invalid('PACKAGE_MANIFEST_INVALID', `${manifestEntry} is not JSON in UTF-8`);
  }
  const parsed = manifest.safeParse(json);
  if (!parsed.success) return invalid('PACKAGE_MANIFEST_INVALID', `${manifestEntry}: ${z.prettifyError(parsed.error).slice(0, 2_000)}`);
  if (!isOfKind(parsed.data, kind)) return invalid('PACKAGE_MANIFEST_INVALID', `a ${kind.toUpperCase()} was wanted; this is a ${parsed.data.kind.toUpperCase()}`);
  return { type: 'manifest', manifest: parsed.data };
};
