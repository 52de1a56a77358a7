/** Bounds on packages. What is over a bound is refused with a reason; nothing is cut short. */

const kibi = 1024;
const mebi = 1024 * kibi;

export const packageLimits = {
  /** Bytes of a CPI file: what the upload wire (`rest-to-db.cpi`) carries. CPBs and CPKs lie inside one. */
  fileBytesMax: 50 * mebi,
  /** Entries of one zip: a CPB of `cpksMax` code units, its manifest and signature, and some room. */
  entriesMax: 128,
  /** Characters of an entry's name: a package name, a version and an extension. */
  entryNameCharsMax: 200,
  /** Bytes of a manifest: a thousand flow declarations of 250 characters, and some room. */
  manifestBytesMax: 1 * mebi,
  /** Bytes of a signature: a chain of five RSA-4096 certificates in base64 has some 15 KiB. */
  signatureBytesMax: 64 * kibi,
  /** Certificates in a signature's chain: leaf, root and up to three between them. */
  chainLengthMax: 5,
  /** Trusted certificates that one verification considers; a cluster has a handful. */
  trustedSignersMax: 1_000,
  /** Code units of one CPI: what `db-to-all.cpi` lists. */
  cpksMax: 100,
  /** Flow declarations of one code unit: what `db-to-all.cpi` lists. */
  flowsMax: 1_000,
  /** Bytes of one code unit's bundle: what a process of the sandbox compiles in well under a second. */
  bundleBytesMax: 10 * mebi,
  /** Bytes of a bundle's source map, without the sources: some twice the bundle. */
  sourceMapBytesMax: 20 * mebi,
  /** Of a map that is read: source files, and UTF-16 code units of its mappings. A larger one is not read: its table would weigh too much. */
  sourcesMax: 10_000,
  mappingsCharsMax: 8_000_000,
  /** Bytes of a code unit's schema: a thousand steps of migrations, and some room. */
  schemaBytesMax: 1 * mebi,
  /** Of a schema: entities with indexes, indexes of one, migrations, and steps of one migration. Each is made in every vault. */
  entitiesMax: 200,
  entityIndexesMax: 20,
  migrationsMax: 1_000,
  migrationStepsMax: 200,
  /** UTF-16 code units of a group policy's text: what `db-to-all.cpi` carries. */
  groupPolicyCharsMax: 500_000,
} as const;

export const groupPolicyLimits = {
  /** Members of a static network: a policy of that many fits its text bound, with keys and endpoints. */
  membersMax: 500,
  /** Endpoints of one member: what `member-to-all.member` carries. */
  endpointsMax: 10,
  /** Custom `ext.*` fields of a member, and the lengths of one (Corda). */
  customFieldsMax: 100,
  customKeyCharsMax: 128,
  customValueCharsMax: 800,
  /** PEM certificates in one list of trust roots: what `member-to-all.group-parameters` carries. */
  trustRootsMax: 100,
  /** Entries of a map (cipher suite, group parameters, MGM info). */
  mapEntriesMax: 500,
  /** Complaints listed of one policy. */
  reasonsMax: 20,
} as const;

/** Bounds on what the builder runs of an author's project. */
export const buildLimits = {
  /** Milliseconds that the bundle's top level may run while its flows are listed. */
  evaluationMsMax: 10_000,
  /** Megabytes of heap that it may take meanwhile. */
  evaluationHeapMbMax: 256,
} as const;
