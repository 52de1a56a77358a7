/** Members of a test network: their names, identities, and what every room is told of them. */
import { utf8 } from '../cipher/bytes.ts';
import { holdingIdentityOf, type HoldingIdentity } from '../identity/holding-identity.ts';
import { parseX500 } from '../identity/x500.ts';
import type { PublicKeyInfo } from '../messages/all-to-crypto.key.ts';
import { dbToAllCpi, type CpiMetadata } from '../messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../messages/db-to-all.virtual-node.ts';
import { encode } from '../messages/grammar/envelope.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import { memberToAllMember, type Member } from '../messages/member-to-all.member.ts';
import { cpkRecords } from '../workers/db/publication.ts';
import { connectionIdsOf } from '../workers/db/virtual-node.ts';
import type { TestApp } from './app.ts';

/** One group for all tests: ids that follow from it are the same in every run. */
export const testGroupId = '00000000-0000-4000-8000-000000000000';

/** `Alice` stands for `CN=Alice, O=Alice, L=London, C=GB`; anything with a `=` is a name already. */
export const identityOfMember = (name: string): HoldingIdentity => {
  const parsed = parseX500(name.includes('=') ? name : `CN=${name}, O=${name}, L=London, C=GB`);
  if (parsed.type === 'invalid') throw new Error(`the member "${name}" has no X.500 name: ${parsed.reason}`);
  return holdingIdentityOf(parsed.name, testGroupId);
};

/** The property of the network by which a member is reached: `Alice` and `CN=Alice, …` are `alice`. */
export const keyOfMember = (name: string): string => {
  const common = /(?:^|,\s*)(?:CN|O)=([^,]+)/.exec(name)?.[1]?.trim() ?? name;
  return common.charAt(0).toLowerCase() + common.slice(1);
};

export const cpiOf = ({ hash, declarations }: TestApp): CpiMetadata => {
  const id = { name: 'test-app', version: '1', signerSummaryHash: 'SHA-256:00' };
  return { id, fullChecksum: hash, groupId: testGroupId, groupPolicy: '{}', cpks: [{ hash, id, flows: [...declarations], timestamp: 0 }], timestamp: 0 };
};

export const virtualNodeOf = (holdingIdentity: HoldingIdentity, app: TestApp): VirtualNode => ({
  holdingIdentity,
  cpiId: cpiOf(app).id,
  cpiFullChecksum: app.hash,
  cpkHashes: [app.hash],
  flowStartOperationalStatus: 'ACTIVE',
  flowOperationalStatus: 'ACTIVE',
  flowP2pOperationalStatus: 'ACTIVE',
  vaultDbOperationalStatus: 'ACTIVE',
  ...connectionIdsOf(holdingIdentity.shortHash),
  version: 1,
  timestamp: 0,
});

const keyOf = ({ publicKey }: PublicKeyInfo): Member['sessionKeys'][number] => ({ publicKey, spec: 'EdDSA' });

export const memberOf = ({ x500Name, groupId }: HoldingIdentity, keys: readonly PublicKeyInfo[]): Member => ({
  groupId,
  x500Name,
  status: 'ACTIVE',
  serial: 1,
  memberContext: { 'corda.name': x500Name },
  mgmContext: {},
  endpoints: [],
  sessionKeys: keys.filter(({ category }) => category === 'SESSION_INIT').map(keyOf),
  ledgerKeys: keys.filter(({ category }) => category === 'LEDGER').map(keyOf),
});

/** What other rooms would have published before the first flow. */
export const factRecords = (node: VirtualNode, app: TestApp, members: readonly Member[]): OutRecord[] => [
  ...cpkRecords({ hash: app.hash, code: utf8(app.code), sourceMap: app.sourceMap }),
  encode(dbToAllCpi, { key: app.hash, id: 'setup', body: cpiOf(app) }),
  encode(dbToAllVirtualNode, { key: node.holdingIdentity.shortHash, id: 'setup', body: node }),
  ...members.map((member) => encode(memberToAllMember, { key: `${member.groupId}/${member.x500Name}`, id: 'setup', body: member })),
];
