/** CPIs as the packager writes them, and their uploads. */
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { cpiChunkBytesMax, type restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { cpkFileName, writeCpb, writeCpi, writeCpk, type Signer } from '../../../src/packaging/build/containers.ts';
import { issue, now as keysNow, signerOf } from '../../packaging/keys.ts';

/** Within the dates of the test's certificates. */
export const uploadNow = keysNow;

export type TestSigner = { readonly signer: Signer; readonly pem: string };

export const makeSigner = async (): Promise<TestSigner> => {
  const issued = await issue({ name: 'CN=Signer, O=Acme, L=London, C=GB' });
  return { signer: signerOf(issued), pem: issued.pem };
};

export const staticPolicy = (groupId: string, members: readonly Record<string, unknown>[] = [{ name: 'O=Alice, L=London, C=GB' }]): string =>
  JSON.stringify({
    fileFormatVersion: 1,
    groupId,
    registrationProtocol: 'net.corda.membership.impl.registration.staticnetwork.StaticMemberRegistrationService',
    synchronisationProtocol: 'net.corda.membership.impl.sync.staticnetwork.StaticMemberSyncService',
    protocolParameters: { sessionKeyPolicy: 'Combined', staticNetwork: { members, groupParameters: {} } },
    p2pParameters: {
      sessionTrustRoots: [],
      tlsTrustRoots: [],
      sessionPki: 'NoPKI',
      tlsPki: 'Standard',
      tlsVersion: '1.3',
      protocolMode: 'Authenticated_Encryption',
      tlsType: 'OneWay',
    },
    cipherSuite: {},
  });

export const groupIdA = '8c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a10';
export const groupIdB = '1c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a11';

export type CpiOptions = { readonly signer: Signer; readonly version?: string; readonly code?: string; readonly sourceMap?: string; readonly schema?: string; readonly groupPolicy?: string };

/** One CPK in one CPB in one CPI. */
export const makeCpi = async ({ signer, version = '1.0', code = 'var cordageApp={flows:[]};', sourceMap, schema, groupPolicy = staticPolicy(groupIdA) }: CpiOptions): Promise<Uint8Array> => {
  const name = { name: 'app', version };
  const cpk = await writeCpk({ ...name, bundle: utf8(code), ...(sourceMap === undefined ? {} : { sourceMap: utf8(sourceMap) }), ...(schema === undefined ? {} : { schema: utf8(schema) }), flows: [{ name: 'com.example.Ping', kind: 'startable' }] }, signer);
  const cpb = await writeCpb({ ...name, cpks: new Map([[cpkFileName(name), cpk]]) }, signer);
  return writeCpi({ ...name, cpb, groupPolicy }, signer);
};

export type Chunk = Extract<BodyOf<typeof restToDbCpi>, { type: 'chunk' }>;

export const chunksOf = (uploadId: string, file: Uint8Array, { force = false, bytesMax = cpiChunkBytesMax } = {}): Chunk[] => {
  const count = Math.ceil(file.length / bytesMax);
  return Array.from({ length: count }, (_, index) => ({
    type: 'chunk',
    uploadId,
    index,
    count,
    bytes: toBase64url(file.subarray(index * bytesMax, (index + 1) * bytesMax)),
    force,
  }));
};
