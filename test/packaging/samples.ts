/** Small packages and group policies, good ones. */
import { utf8 } from '../../src/cipher/bytes.ts';
import { encodePem } from '../../src/cipher/pem.ts';
import { generateKeyPair } from '../../src/cipher/signature.ts';
import { cpkFileName, writeCpb, writeCpi, writeCpk, type Signer } from '../../src/packaging/build/containers.ts';
import type { FlowDeclaration } from '../../src/packaging/manifest.ts';

export const bundle = utf8('"use strict";var cordageApp={flows:[]};');
export const flows: FlowDeclaration[] = [
  { name: 'com.example.Ping', kind: 'startable', protocol: { name: 'com.example.ping', versions: [1, 2] } },
  { name: 'com.example.Pong', kind: 'responder', protocol: { name: 'com.example.ping', versions: [1, 2] } },
];

export const mgmPolicy = {
  fileFormatVersion: 1,
  groupId: 'CREATE_ID',
  registrationProtocol: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
};

export const p2pParameters = {
  sessionTrustRoots: [] as string[],
  tlsTrustRoots: [] as string[],
  sessionPki: 'NoPKI',
  tlsPki: 'Standard',
  tlsVersion: '1.3',
  protocolMode: 'Authenticated_Encryption',
  tlsType: 'OneWay',
};

const { publicKey } = await generateKeyPair('CORDA.ECDSA.SECP256R1');
export const sessionKeyPem = encodePem('PUBLIC KEY', publicKey);

export const aliceMember: Record<string, string | number> = {
  name: 'O=Alice, L=London, C=GB, CN=Alice',
  memberStatus: 'ACTIVE',
  'endpointUrl-1': 'https://alice.example:8080',
  'endpointProtocol-1': 1,
  sessionKeyPem,
};

export const staticPolicy = (members: readonly Record<string, unknown>[] = [aliceMember]) => ({
  fileFormatVersion: 1,
  groupId: '8a5d3c1e-6f0b-4d2a-9c7e-2b1f0e9d8c7b',
  registrationProtocol: 'net.corda.membership.impl.registration.staticnetwork.StaticMemberRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.sync.staticnetwork.StaticMemberSyncService',
  protocolParameters: { sessionKeyPolicy: 'Combined', staticNetwork: { members, groupParameters: {} } },
  p2pParameters,
  cipherSuite: {},
});

export const policyText = JSON.stringify(staticPolicy());

export type PackageParts = {
  readonly cpiSigner: Signer;
  readonly cpbSigner?: Signer;
  readonly cpkSigner?: Signer;
  readonly cpks?: readonly { name: string; flows: readonly FlowDeclaration[]; bundle?: Uint8Array; schema?: Uint8Array }[];
  readonly groupPolicy?: string;
};

/** A CPI of a CPB of CPKs, each signed by whom the test says. */
export const makeCpi = async ({ cpiSigner, cpbSigner = cpiSigner, cpkSigner = cpbSigner, cpks = [{ name: 'sample', flows }], groupPolicy = policyText }: PackageParts): Promise<Uint8Array> => {
  const files = await Promise.all(
    cpks.map(async ({ name, flows: declared, bundle: code = bundle, schema }, index) => {
      const file = await writeCpk({ name, version: '1.0.0', bundle: code, ...(schema === undefined ? {} : { schema }), flows: declared }, cpkSigner);
      return [cpkFileName({ name: `${name}${index}`, version: '1.0.0' }), file] as const;
    }),
  );
  const cpb = await writeCpb({ name: 'sample', version: '1.0.0', cpks: new Map(files) }, cpbSigner);
  return writeCpi({ name: 'sample', version: '1.0.0', cpb, groupPolicy }, cpiSigner);
};
