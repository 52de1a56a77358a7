/** The records by which db tells the cluster what it keeps. Their ids follow from what they say, so a repeat is the same record. */
import { toBase64url } from '../../cipher/bytes.ts';
import { dbToAllCpi, type CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { cpkChunkBytesMax, dbToFlowCpk } from '../../messages/db-to-flow.cpk.ts';
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

export const cpiRecord = (cpi: CpiMetadata): OutRecord => say(dbToAllCpi, cpi.fullChecksum, `cpi/${cpi.fullChecksum}/${cpi.timestamp}`, cpi);

export const cpiRemoval = (fullChecksum: string): OutRecord => encode(dbToAllCpi, { key: fullChecksum, id: `cpi/${fullChecksum}/removed`, body: null });

export const virtualNodeRecord = (node: VirtualNode): OutRecord => {
  const { shortHash } = node.holdingIdentity;
  return say(dbToAllVirtualNode, shortHash, `virtual-node/${shortHash}/${node.version}`, node);
};

/** The code of a CPK in chunks; an empty bundle is one empty chunk. */
export const cpkRecords = ({ hash, code }: CpkCode): OutRecord[] => {
  const count = Math.max(1, Math.ceil(code.length / cpkChunkBytesMax));
  return Array.from({ length: count }, (_, index) => {
    const bytes = toBase64url(code.subarray(index * cpkChunkBytesMax, (index + 1) * cpkChunkBytesMax));
    return encode(dbToFlowCpk, { key: `${hash}/${index}`, id: `cpk/${hash}/${index}`, body: { hash, index, count, bytes } });
  });
};

/** The salt is drawn anew with each password, so it names the version of the user. */
export const userRecord = (user: User): OutRecord => say(dbToRestUser, user.login, `user/${user.login}/${user.password.salt}`, user);
