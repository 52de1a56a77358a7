/**
 * Fills the compacted topics again with what the database holds: after a broker lost its disk, and where a crash came between a
 * commit and its effects. What is there already is not published a second time.
 */
import type { Bus, Follower } from '../../bus/bus.ts';
import { dbToAllConfig } from '../../messages/db-to-all.config.ts';
import { dbToAllCpi } from '../../messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../../messages/db-to-flow.cpk.ts';
import { dbToAllCertificate, tlsUsage, type TlsCertificate } from '../../messages/db-to-all.certificate.ts';
import { dbToRestPermission } from '../../messages/db-to-rest.permission.ts';
import { dbToRestRole } from '../../messages/db-to-rest.role.ts';
import { dbToRestUser } from '../../messages/db-to-rest.user.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Wire } from '../../messages/grammar/wire.ts';
import type { Log } from '../../observability/log.ts';
import type { Database } from '../../postgres/database.ts';
import type { DbTx } from './db-tx.ts';
import { createPostgresDbTx } from './postgres/db-tx.ts';
import { readCertificateChain } from './certificate-chain.ts';
import { certificateRecord, configRecord, cpiRecord, cpkRecords, permissionRecord, roleRecord, userRecord, virtualNodeRecord } from './publication.ts';

export type SnapshotOptions = { readonly database: Database; readonly bus: Bus; readonly log: Log };

/** Each with a body of its own, of which only the key matters here. */
const wires: readonly Wire<any, any>[] = [dbToAllConfig, dbToFlowCpk, dbToAllCpi, dbToAllVirtualNode, dbToRestPermission, dbToRestRole, dbToRestUser, dbToAllCertificate];

type Place = Pick<OutRecord, 'topic' | 'key'>;
const placeOf = ({ topic, key }: Place): string => `${topic}\n${key}`;

/** As `encode` writes it. */
const isRemoval = (value: string): boolean => value.endsWith('"body":null}');

/** How many chunks the CPK has, of its code and of its source map, out of the record of one. */
const chunkCountsOf = (value: string): string => {
  const [, count = '0', sourceMapCount = '0'] = /"count":(\d+),"sourceMapCount":(\d+)/.exec(value.slice(0, 1_000)) ?? [];
  return `${count}/${sourceMapCount}`;
};

/** What the topics hold now. CPK chunks never change, so instead of their bytes only their counts are remembered. */
const readTopics = async (follower: Follower): Promise<Map<string, string>> => {
  await follower.ready;
  const latest = new Map<string, string>();
  for (const record of await follower.drain()) {
    if (isRemoval(record.value)) latest.delete(placeOf(record));
    else latest.set(placeOf(record), record.topic === dbToFlowCpk.topic ? chunkCountsOf(record.value) : record.value);
  }
  return latest;
};

const isComplete = (hash: string, latest: ReadonlyMap<string, string>): boolean => {
  const chunk = (key: string): string | undefined => latest.get(placeOf({ topic: dbToFlowCpk.topic, key }));
  const [count, sourceMapCount] = (chunk(`${hash}/0`) ?? '0/0').split('/').map(Number) as [number, number];
  const all = (place: string, length: number): boolean => Array.from({ length }, (_, index) => chunk(`${place}/${index}`)).every((found) => found !== undefined);
  return count > 0 && all(hash, count) && all(`${hash}/map`, sourceMapCount);
};

const readTlsCertificates = async (tx: DbTx): Promise<TlsCertificate[]> => {
  const certificates: TlsCertificate[] = [];
  for (const usage of tlsUsage.options) {
    for (const { holder, alias, pem } of await tx.certificates.listOfAll(usage)) {
      const chain = await readCertificateChain(pem);
      // It could be read when it was imported.
      if (chain.type === 'chain') certificates.push({ usage, holder, alias, pem, publicKey: chain.publicKey });
    }
  }
  return certificates;
};

/** Everything the database has to say, code first. Code is the bulk of it, so only what the topic lacks is read. */
const readDatabase = async (tx: DbTx, latest: ReadonlyMap<string, string>): Promise<OutRecord[]> => {
  const cpis = await tx.cpis.list();
  const hashes = [...new Set(cpis.flatMap(({ cpks }) => cpks.map(({ hash }) => hash)))];
  const code = await tx.cpis.findCode(hashes.filter((hash) => !isComplete(hash, latest)));
  const nodes = await tx.virtualNodes.list();
  const access = [...(await tx.rbac.listPermissions()).map(permissionRecord), ...(await tx.rbac.listRoles()).map(roleRecord), ...(await tx.rbac.listUsers()).map(userRecord)];
  const sections = await tx.config.list();
  const certificates = await readTlsCertificates(tx);
  return [...sections.map(configRecord), ...code.flatMap(cpkRecords), ...cpis.map(cpiRecord), ...nodes.map(virtualNodeRecord), ...access, ...certificates.map(certificateRecord)];
};

/** Records of keys that the database does not know: of another database, or of a CPI that was replaced. */
const removals = (latest: ReadonlyMap<string, string>, current: readonly OutRecord[]): OutRecord[] => {
  const known = new Set(current.map(placeOf));
  return wires
    .filter(({ topic }) => topic !== dbToFlowCpk.topic)
    .flatMap((wire) =>
      [...latest.keys()].flatMap((place) => {
        const [topic, key] = place.split('\n');
        if (topic !== wire.topic || key === undefined || known.has(place)) return [];
        return [encode(wire, { key, id: `${key}/removed`, body: null })];
      }),
    );
};

/**
 * The topics are read before the database: whatever they hold was committed by then, so a key that the database does not have
 * was removed. Writers wait meanwhile, so that no later version is overtaken by what is published here.
 */
export const publishSnapshot = async ({ database, bus, log }: SnapshotOptions): Promise<void> => {
  const follower = bus.follow({ topics: wires.map(({ topic }) => topic), from: 'earliest' });
  try {
    await database.transact(async (sql) => {
      await sql`lock table config.cpi, config.virtual_node, config.certificate, config.section, rbac.account, rbac.role, rbac.permission in share mode`;
      const latest = await readTopics(follower);
      const current = await readDatabase(createPostgresDbTx(sql), latest);
      const changed = current.filter((record) => latest.get(placeOf(record)) !== record.value);
      const removed = removals(latest, current);
      for (const one of removed) log.warn('db.snapshot.removed', { topic: one.topic, key: one.key });
      if (changed.length + removed.length > 0) await bus.publish([...changed, ...removed]);
      log.info('db.snapshot', { published: changed.length, removed: removed.length, held: current.length });
    });
  } finally {
    await follower.close();
  }
};
