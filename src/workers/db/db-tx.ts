/**
 * What the db room's handlers write with: narrow repositories over one open transaction. `postgres/` implements them for
 * real, `memory/` for simulation; one contract suite runs against both.
 */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { SealedConnection } from '../../messages/grammar/database-connection.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { flowToDbEntity } from '../../messages/flow-to-db.entity.ts';
import type { flowToDbQuery } from '../../messages/flow-to-db.query.ts';
import type { CertificateHolder, CertificateUsage } from '../../messages/rest-to-db.certificate.ts';
import type { restToDbVirtualNode } from '../../messages/rest-to-db.virtual-node.ts';
import type { Refusal } from '../../messages/grammar/envelope.ts';
import type { PackageSchema, QueryStatement } from '../../packaging/schema.ts';
import type { AuditRepository, ConfigRepository, RbacRepository } from './administration.ts';

/** What requests of flows need: also had of a vault in a database of its own. */
export type VaultTx = {
  readonly virtualNodes: Pick<VirtualNodeRepository, 'known'>;
  readonly cpis: Pick<CpiRepository, 'findSchemas'>;
  readonly entities: EntityRepository;
  readonly tables: TableRepository;
};

export type DbTx = {
  readonly certificates: CertificateRepository;
  readonly uploads: UploadRepository;
  readonly cpis: CpiRepository;
  readonly virtualNodes: VirtualNodeRepository;
  readonly transfers: TransferRepository;
  readonly entities: EntityRepository;
  readonly tables: TableRepository;
  readonly rbac: RbacRepository;
  readonly config: ConfigRepository;
  readonly audit: AuditRepository;
};

// ── Certificates ─────────────────────────────────────────────────────────────────────────────────────────────────────

export type CertificatePlace = { readonly usage: CertificateUsage; /** Default: the cluster. */ readonly holder?: CertificateHolder | undefined };

export type CertificateRepository = {
  /** Replaces the chain of the same usage, holder and alias. */
  put(certificate: CertificatePlace & { readonly alias: string; readonly pem: string }, now: number): Promise<void>;
  find(place: CertificatePlace & { readonly alias: string }): Promise<string | undefined>;
  /** In order of alias. */
  list(place: CertificatePlace): Promise<readonly { readonly alias: string; readonly pem: string }[]>;
  /** Of every holder. */
  listOfAll(usage: CertificateUsage): Promise<readonly { readonly holder: CertificateHolder; readonly alias: string; readonly pem: string }[]>;
  /** All chains of a virtual node; gives what they were. */
  removeOf(shortHash: string): Promise<readonly { readonly usage: CertificateUsage; readonly alias: string }[]>;
};

// ── Uploads and CPIs ─────────────────────────────────────────────────────────────────────────────────────────────────

export type UploadEnd =
  /** `replaced` is the checksum of the CPI that a forced upload took the place of. */
  | { readonly type: 'stored'; readonly fullChecksum: string; readonly replaced: string | null }
  | { readonly type: 'refused'; readonly refusal: Refusal };

export type Upload = {
  readonly id: string;
  /** Chunks it announced. */
  readonly count: number;
  readonly force: boolean;
  /** `undefined` while chunks are missing. */
  readonly end: UploadEnd | undefined;
};

export type UploadRepository = {
  find(id: string): Promise<Upload | undefined>;
  /** How many are under way. */
  countOpen(): Promise<number>;
  begin(upload: { readonly id: string; readonly count: number; readonly force: boolean }, now: number): Promise<void>;
  /** Idempotent by upload and index; gives what is there now. */
  addChunk(id: string, index: number, bytes: Uint8Array, now: number): Promise<{ readonly chunks: number; readonly bytes: number }>;
  /** The whole file. */
  assemble(id: string): Promise<Uint8Array>;
  /** Keeps the outcome and lets the chunks go. */
  finish(id: string, end: UploadEnd, now: number): Promise<void>;
  /** Removes uploads whose last chunk came before `idleBefore` and those that ended before `endedBefore`. */
  forget(idleBefore: number, endedBefore: number): Promise<number>;
};

export type CpiId = CpiMetadata['id'];
/** The code of one CPK and its source map, ready to be cut into chunks. */
export type CpkCode = { readonly hash: string; readonly code: Uint8Array; readonly sourceMap: Uint8Array | null };
/** What is stored of a CPK beside its metadata; `schema` is the text of its `schema.json`. */
export type CpkContent = CpkCode & { readonly schema: string | null };
/** The schema of a CPK, under the name by which a vault knows its migrations. */
export type CpkSchema = { readonly cpkName: string; readonly schema: PackageSchema };

export type CpiRepository = {
  /** Whoever else would write CPIs waits until this transaction ends, so that what was looked up stays true. */
  lock(): Promise<void>;
  findById(id: CpiId): Promise<CpiMetadata | undefined>;
  /** By the first digits of the file's checksum, at least 12; several only if the digits are shared. */
  findByChecksum(prefix: string): Promise<readonly CpiMetadata[]>;
  /** Newest first. */
  list(): Promise<readonly CpiMetadata[]>;
  /** Writes the CPI, in place of one with the same id, and those of its CPKs that are not there yet. */
  put(cpi: CpiMetadata, content: readonly CpkContent[]): Promise<void>;
  findCode(hashes: readonly string[]): Promise<readonly CpkCode[]>;
  /** Texts of `schema.json` of the CPKs that have one. */
  findSchemas(hashes: readonly string[]): Promise<readonly { readonly hash: string; readonly cpkName: string; readonly text: string }[]>;
};

// ── Virtual nodes ────────────────────────────────────────────────────────────────────────────────────────────────────

export type VirtualNodeOperation = NonNullable<ReplyOf<typeof restToDbVirtualNode>['status']>;

/** An operation as it is kept. */
export type KeptOperation = {
  readonly operation: VirtualNodeOperation;
  /** The request that began it: its repeat is known by this. */
  readonly messageId: string;
  /** How far an operation of several rooms is. */
  readonly stage?: string | undefined;
  /** The id of the request whose answer it waits for. */
  readonly awaited?: string | undefined;
};

export type CreatedVirtualNode = { readonly type: 'created' } | { readonly type: 'exists' } | { readonly type: 'failed'; readonly reason: string };

export type Migrated = { readonly type: 'migrated' } | { readonly type: 'failed'; readonly reason: string };

/** How a vault in a database of its own is reached. Without `ddl` an administrator changes its tables. */
export type VaultConnections = { readonly dml: SealedConnection; readonly ddl: SealedConnection | null };

/** A migration that a vault has. */
export type AppliedMigration = { readonly cpkName: string; readonly name: string; readonly digest: string };

export type VirtualNodeRepository = {
  /** Which of these are there. Throws DATABASE_CONFLICT where the vault of one has moved to a database of its own. */
  known(shortHashes: readonly string[]): Promise<ReadonlySet<string>>;
  find(shortHash: string): Promise<VirtualNode | undefined>;
  /** As `find`; whoever else would change it waits until this transaction ends. */
  findToChange(shortHash: string): Promise<VirtualNode | undefined>;
  findByCpi(cpiId: CpiId): Promise<readonly VirtualNode[]>;
  list(): Promise<readonly VirtualNode[]>;
  /**
   * Writes the virtual node, makes its schemas and roles and applies the migrations of its code, all or nothing; after `failed` the
   * transaction still stands. With connections, its vault is there.
   */
  create(node: VirtualNode, schemas: readonly CpkSchema[], connections?: VaultConnections): Promise<CreatedVirtualNode>;
  /** Of a vault in a database of its own. */
  connections(shortHash: string): Promise<VaultConnections | undefined>;
  /** Leads to its vault by these from now on, if that is, or can be made, what the code wants; after `failed` the transaction still stands. */
  connect(node: VirtualNode, connections: VaultConnections, schemas: readonly CpkSchema[], now: number): Promise<Migrated>;
  /** What such connections are sealed to. */
  connectionKey(): Promise<string>;
  /**
   * Applies to each vault the migrations that it has not, in their order, all or none; after `failed` the transaction still stands. A migration
   * that was applied and has another digest now is refused. Of vaults in databases of their own, those that came before the one that failed keep what
   * they have by then.
   */
  migrate(shortHashes: readonly string[], schemas: readonly CpkSchema[], now: number): Promise<Migrated>;
  /** What the vault was brought to by `create` and `migrate`. */
  migrations(shortHash: string): Promise<readonly AppliedMigration[]>;
  /** Drops what migrations made and applies them anew, all or nothing. Entities stay: their table is the platform's. */
  resync(shortHash: string, schemas: readonly CpkSchema[], now: number): Promise<Migrated>;
  /** Writes what can change: its CPI, its statuses, its version. */
  update(node: VirtualNode): Promise<void>;
  /** Removes it with its schemas, its keys among them, and its roles. */
  drop(shortHash: string): Promise<void>;
  findOperation(requestId: string): Promise<KeptOperation | undefined>;
  putOperation(kept: KeptOperation): Promise<void>;
  /** Statements that make, in the current schema of an empty database, the tables that the platform makes for a virtual node. */
  tablesSql(schema: 'vault' | 'crypto' | 'uniqueness'): Promise<string>;
};

// ── Exports and imports ──────────────────────────────────────────────────────────────────────────────────────────────

export type TransferRepository = {
  /** Before anything else is read in this transaction: from now on it sees the database as it is now. */
  holdSnapshot(): Promise<void>;
  begin(id: string, now: number): Promise<void>;
  /** How many are under way. */
  countOpen(): Promise<number>;
  write(id: string, index: number, text: string): Promise<void>;
  read(id: string, index: number): Promise<string | undefined>;
  forget(id: string): Promise<void>;
  /** Those that nobody touched since. */
  forgetIdle(before: number): Promise<void>;
  /** What it refuses or throws leaves nothing behind, and the transaction stands. */
  wholly<Made extends object>(work: () => Promise<Made | Refusal>): Promise<Made | Refusal>;
  /** Every row of a virtual node's vault and uniqueness schema, as lines of JSON, while the work lasts. */
  withLines<Result>(shortHash: string, work: (lines: AsyncIterable<string>) => Promise<Result>): Promise<Result>;
  /** Puts such rows in place of what is there. */
  restore(shortHash: string, lines: AsyncIterable<string>): Promise<void>;
};

// ── Entities ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type EntityReply = ReplyOf<typeof flowToDbEntity>;

export type EntityCall = BodyOf<typeof flowToDbEntity> & {
  /** Calls of one flow keep their order. */
  readonly flowId: string;
};

export type EntityResult =
  | { readonly type: 'done'; readonly reply: EntityReply }
  /** A persist met an id that is there: none of its items was written. */
  | { readonly type: 'exists'; readonly id: string }
  /** What a find or remove would answer is longer than an answer may be: nothing was done. */
  | { readonly type: 'too-large' }
  /** A query or count took longer than one may. */
  | { readonly type: 'timeout' };

export type EntityRow = { readonly entity: string; readonly id: string; readonly json: string };

/** Entities of one vault; one that is merged stands there once. */
export type EntityWrite = {
  readonly shortHash: string;
  readonly persisted: readonly EntityRow[];
  readonly merged: readonly EntityRow[];
  /** Milliseconds since the epoch. */
  readonly now: number;
};

export type EntityRepository = {
  /**
   * Performs the calls as if one after another, those of one flow in their order; results stand in the order of the calls.
   * Every virtual node must be known, and ids within one call distinct.
   */
  apply(calls: readonly EntityCall[], now: number): Promise<readonly EntityResult[]>;
};

// ── Tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type TableReply = ReplyOf<typeof flowToDbQuery>;
/** The statement was checked against the tables of its code unit. */
export type TableCall = { readonly shortHash: string; readonly statement: QueryStatement };
export type TableResult = { readonly type: 'done'; readonly reply: TableReply } | { readonly type: 'refused'; readonly code: string; readonly reason: string };

export type TableRepository = {
  /** Runs the statements one after another, each whole or not at all; results stand in the order of the calls. */
  run(calls: readonly TableCall[]): Promise<readonly TableResult[]>;
};
