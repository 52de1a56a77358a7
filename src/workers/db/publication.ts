/** The records by which db tells the cluster what it keeps. Their ids follow from what they say, so a repeat is the same record. */
import { toBase64url, toHex, utf8 } from '../../cipher/bytes.ts';
import { sha256 } from '../../cipher/digest.ts';
import { dbToAllConfig, type StoredSection } from '../../messages/db-to-all.config.ts';
import { dbToAllCpi, type CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { cpkChunkBytesMax, dbToFlowCpk } from '../../messages/db-to-flow.cpk.ts';
import { dbToAllCertificate, type TlsCertificate } from '../../messages/db-to-all.certificate.ts';
import { dbToRestPermission, type Permission } from '../../messages/db-to-rest.permission.ts';
import { dbToRestRole, type Role } from '../../messages/db-to-rest.role.ts';
import { dbToRestUser, type User } from '../../messages/db-to-rest.user.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Wire } from '../../messages/grammar/wire.ts';
import type { CpkCode } from './db-tx.ts';

/**
 * What is published passes through its schema, which orders its fields: the same body has the same text, whether it was just
 * made or read from the database, and a repeat or a comparison can tell.
 */
const say = <Body>(wire: Wire<Body, any>, key: string, id: string, body: Body): OutRecord => encode(wire, { key, id, body: wire.body.parse(body) });

export const configRecord = (section: StoredSection): OutRecord => say(dbToAllConfig, section.section, `config/${section.section}/${section.version}`, section);

export const cpiRecord = (cpi: CpiMetadata): OutRecord => say(dbToAllCpi, cpi.fullChecksum, `cpi/${cpi.fullChecksum}/${cpi.timestamp}`, cpi);

export const cpiRemoval = (fullChecksum: string): OutRecord => encode(dbToAllCpi, { key: fullChecksum, id: `cpi/${fullChecksum}/removed`, body: null });

export const virtualNodeRecord = (node: VirtualNode): OutRecord => {
  const { shortHash } = node.holdingIdentity;
  return say(dbToAllVirtualNode, shortHash, `virtual-node/${shortHash}/${node.version}`, node);
};

export const virtualNodeRemoval = ({ holdingIdentity: { shortHash }, version }: VirtualNode): OutRecord =>
  encode(dbToAllVirtualNode, { key: shortHash, id: `virtual-node/${shortHash}/${version}/removed`, body: null });

/** An empty bundle is one empty chunk. */
const chunkCountOf = (bytes: Uint8Array): number => Math.max(1, Math.ceil(bytes.length / cpkChunkBytesMax));

/** The code of a CPK in chunks, after its source map: who sees the code has all. */
export const cpkRecords = ({ hash, code, sourceMap }: CpkCode): OutRecord[] => {
  const sourceMapCount = sourceMap === null ? 0 : chunkCountOf(sourceMap);
  const chunks = (place: string, part: Uint8Array): OutRecord[] => {
    const count = chunkCountOf(part);
    return Array.from({ length: count }, (_, index) => {
      const bytes = toBase64url(part.subarray(index * cpkChunkBytesMax, (index + 1) * cpkChunkBytesMax));
      return encode(dbToFlowCpk, { key: `${place}/${index}`, id: `cpk/${place}/${index}`, body: { hash, index, count, sourceMapCount, bytes } });
    });
  };
  return [...(sourceMap === null ? [] : chunks(`${hash}/map`, sourceMap)), ...chunks(hash, code)];
};

const certificateKey = ({ usage, holder, alias }: Pick<TlsCertificate, 'usage' | 'holder' | 'alias'>): string => `${usage}/${holder}/${alias}`;

export const certificateRemoval = (place: Pick<TlsCertificate, 'usage' | 'holder' | 'alias'>): OutRecord => {
  const key = certificateKey(place);
  return encode(dbToAllCertificate, { key, id: `certificate/${key}/removed`, body: null });
};

/** A certificate is drawn anew with each issue, so its text names the version. */
export const certificateRecord = (certificate: TlsCertificate): OutRecord => {
  const key = certificateKey(certificate);
  return say(dbToAllCertificate, key, `certificate/${key}/${toHex(sha256(utf8(certificate.pem)))}`, certificate);
};

export const userRecord = (user: User): OutRecord => say(dbToRestUser, user.login, `user/${user.id}/${user.version}`, { ...user, roles: user.roles.toSorted((one, other) => one.since - other.since || (one.id < other.id ? -1 : 1)) });

export const userRemoval = ({ login, id }: User): OutRecord => encode(dbToRestUser, { key: login, id: `user/${id}/removed`, body: null });

export const roleRecord = (role: Role): OutRecord => {
  const permissions = role.permissions.toSorted((one, other) => one.since - other.since || (one.permission.id < other.permission.id ? -1 : 1));
  return say(dbToRestRole, role.id, `role/${role.id}/${role.version}`, { ...role, permissions });
};

export const permissionRecord = (permission: Permission): OutRecord => say(dbToRestPermission, permission.id, `permission/${permission.id}`, permission);
