/** The door of this folder: the db room's repositories in memory, for simulation. Give `makeTx`, `rollback` and `writeAtOnceInMemory` to the memory answer store. */
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { CertificateHolder, CertificateUsage } from '../../../messages/rest-to-db.certificate.ts';
import type { CertificatePlace, CertificateRepository, CpiId, CpiRepository, CpkContent, DbTx, KeptOperation, Upload, UploadRepository, VirtualNodeRepository } from '../db-tx.ts';
import { createMemoryAudit, createMemoryRbac, createMemorySections } from './administration.ts';
import { createMemoryEntities, type MemoryEntities } from './entities.ts';
import { createUndo, type Undo } from './undo.ts';

export { writeAtOnceInMemory } from './entities.ts';

export type MemoryDb = { makeTx(): DbTx; rollback(): void };

/** Every list is sorted by its key, as the database's are. */
const sorted = <Value>(map: ReadonlyMap<string, Value>): [string, Value][] => [...map].sort(([one], [other]) => (one < other ? -1 : 1));

const createCertificates = (undo: Undo): CertificateRepository => {
  type Row = { readonly usage: CertificateUsage; readonly holder: CertificateHolder; readonly alias: string; readonly pem: string };
  const rows = new Map<string, Row>();
  const keyOf = ({ usage, holder = 'cluster' }: CertificatePlace, alias: string): string => `${usage}/${holder}/${alias}`;
  const of = (usage: CertificateUsage): Row[] => sorted(rows).flatMap(([, row]) => (row.usage === usage ? [row] : []));
  return {
    put: async ({ usage, holder = 'cluster', alias, pem }) => undo.set(rows, keyOf({ usage, holder }, alias), { usage, holder, alias, pem }),
    find: async ({ alias, ...place }) => rows.get(keyOf(place, alias))?.pem,
    list: async ({ usage, holder = 'cluster' }) => of(usage).flatMap((row) => (row.holder === holder ? [{ alias: row.alias, pem: row.pem }] : [])),
    listOfAll: async (usage) => of(usage).map(({ holder, alias, pem }) => ({ holder, alias, pem })),
    removeOf: async (shortHash) => {
      const gone = [...rows].filter(([, { holder }]) => holder === shortHash);
      for (const [key] of gone) undo.delete(rows, key);
      return gone.map(([, { usage, alias }]) => ({ usage, alias }));
    },
  };
};

type UploadRow = Upload & { readonly touchedAt: number; readonly endedAt: number | undefined; readonly chunks: ReadonlyMap<number, Uint8Array> };

const createUploads = (undo: Undo): UploadRepository => {
  const rows = new Map<string, UploadRow>();
  const held = (id: string): UploadRow => {
    const row = rows.get(id);
    if (row === undefined) throw new Error(`upload ${id} has not begun`);
    return row;
  };
  const ordered = (id: string): Uint8Array[] => [...held(id).chunks].sort(([one], [other]) => one - other).map(([, bytes]) => bytes);
  return {
    find: async (id) => rows.get(id),
    countOpen: async () => [...rows.values()].filter(({ end }) => end === undefined).length,
    begin: async (upload, now) => {
      if (!rows.has(upload.id)) undo.set(rows, upload.id, { ...upload, end: undefined, touchedAt: now, endedAt: undefined, chunks: new Map() });
    },
    addChunk: async (id, index, bytes, now) => {
      const row = held(id);
      const chunks = row.chunks.has(index) ? row.chunks : new Map([...row.chunks, [index, bytes]]);
      undo.set(rows, id, { ...row, chunks, touchedAt: now });
      return { chunks: chunks.size, bytes: [...chunks.values()].reduce((sum, chunk) => sum + chunk.length, 0) };
    },
    assemble: async (id) => new Uint8Array(ordered(id).flatMap((chunk) => [...chunk])),
    finish: async (id, end, now) => undo.set(rows, id, { ...held(id), end, endedAt: now, chunks: new Map() }),
    forget: async (idleBefore, endedBefore) => {
      const old = [...rows.values()].filter(({ touchedAt, endedAt }) => (endedAt === undefined ? touchedAt < idleBefore : endedAt < endedBefore));
      for (const { id } of old) undo.delete(rows, id);
      return old.length;
    },
  };
};

const keyOf = ({ name, version, signerSummaryHash }: CpiId): string => JSON.stringify([name, version, signerSummaryHash]);

const createCpis = (undo: Undo, cpis: Map<string, CpiMetadata>): CpiRepository => {
  const code = new Map<string, CpkContent>();
  return {
    lock: async () => {},
    findById: async (id) => cpis.get(keyOf(id)),
    findByChecksum: async (prefix) => [...cpis.values()].filter(({ fullChecksum }) => fullChecksum.startsWith(prefix)),
    list: async () => [...cpis.values()].sort((one, other) => other.timestamp - one.timestamp || (one.fullChecksum < other.fullChecksum ? -1 : 1)),
    put: async (cpi, cpks) => {
      for (const cpk of cpks) if (!code.has(cpk.hash)) undo.set(code, cpk.hash, cpk);
      undo.set(cpis, keyOf(cpi.id), cpi);
    },
    findCode: async (hashes) =>
      hashes.flatMap((hash) => {
        const cpk = code.get(hash);
        return cpk === undefined ? [] : [cpk];
      }),
    // What has tables needs PostgreSQL.
    findSchemas: async () => [],
  };
};

const noTables = (): never => {
  throw new Error('this database is in memory and has no tables; use PostgreSQL');
};

const createVirtualNodes = (undo: Undo, cpis: ReadonlyMap<string, CpiMetadata>): VirtualNodeRepository => {
  const nodes = new Map<string, VirtualNode>();
  const operations = new Map<string, KeptOperation>();
  // What a virtual node runs is read from its CPI, as in the database.
  const current = (node: VirtualNode): VirtualNode => {
    const cpi = cpis.get(keyOf(node.cpiId));
    return cpi === undefined ? node : { ...node, cpiFullChecksum: cpi.fullChecksum, cpkHashes: cpi.cpks.map(({ hash }) => hash) };
  };
  const list = (): VirtualNode[] => sorted(nodes).map(([, node]) => current(node));
  const find = async (shortHash: string): Promise<VirtualNode | undefined> => {
    const node = nodes.get(shortHash);
    return node === undefined ? undefined : current(node);
  };
  return {
    known: async (shortHashes) => new Set(shortHashes.filter((shortHash) => nodes.has(shortHash))),
    find,
    findToChange: find,
    findByCpi: async (cpiId) => list().filter((node) => keyOf(node.cpiId) === keyOf(cpiId)),
    list: async () => list(),
    create: async (node, _schemas, connections) => {
      if (connections !== undefined) return { type: 'failed', reason: 'this database is in memory; use PostgreSQL' };
      const { shortHash } = node.holdingIdentity;
      if (nodes.has(shortHash)) return { type: 'exists' };
      undo.set(nodes, shortHash, node);
      return { type: 'created' };
    },
    migrate: async () => ({ type: 'migrated' }),
    migrations: async () => [],
    resync: async () => ({ type: 'migrated' }),
    update: async (node) => undo.set(nodes, node.holdingIdentity.shortHash, node),
    // Its entities stay: in memory nothing is deleted for room.
    drop: async (shortHash) => undo.delete(nodes, shortHash),
    findOperation: async (requestId) => operations.get(requestId),
    putOperation: async (kept) => undo.set(operations, kept.operation.requestId, kept),
    connections: async () => undefined,
    connect: async () => ({ type: 'failed', reason: 'this database is in memory; use PostgreSQL' }),
    connectionKey: noTables,
    tablesSql: noTables,
  };
};

export const createMemoryDb = (): MemoryDb => {
  const undo = createUndo();
  const cpis = new Map<string, CpiMetadata>();
  const entities = new Map<string, MemoryEntities>();
  const entitiesOf = (shortHash: string, entity: string): MemoryEntities => {
    const key = `${shortHash}/${entity}`;
    const rows = entities.get(key) ?? new Map<string, string>();
    entities.set(key, rows);
    return rows;
  };
  const tx: DbTx = {
    certificates: createCertificates(undo),
    uploads: createUploads(undo),
    cpis: createCpis(undo, cpis),
    virtualNodes: createVirtualNodes(undo, cpis),
    transfers: { holdSnapshot: noTables, begin: noTables, countOpen: noTables, write: noTables, read: noTables, forget: noTables, forgetIdle: noTables, wholly: noTables, withLines: noTables, restore: noTables },
    entities: createMemoryEntities(entitiesOf, undo),
    tables: { run: async (calls) => calls.map(() => ({ type: 'refused', code: 'DB_QUERY_REFUSED', reason: 'this database is in memory and has no tables; use PostgreSQL' })) },
    rbac: createMemoryRbac(undo),
    config: createMemorySections(undo),
    audit: createMemoryAudit(undo),
  };
  return {
    makeTx: () => {
      undo.begin();
      return tx;
    },
    rollback: undo.rollback,
  };
};
