/** What a Kafka with TLS, SASL/SCRAM and access lists needs in a test: a certificate, and users. */
import 'reflect-metadata';
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { alterUserScramCredentialsV0, Connection, ScramMechanisms } from '@platformatic/kafka';
import * as x509 from '@peculiar/x509';
import type { Security } from './properties.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Signed by itself, so that it is also what clients trust. */
export const makeSecurity = async (): Promise<Security> => {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 86_400_000),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }, { type: 'dns', value: 'localhost' }]), new x509.BasicConstraintsExtension(true)],
  });
  const keyPem = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { keyPem, certificatePem: certificate.toString('pem') };
};

const iterations = 4_096;

/** Through the internal listener, where everybody is an administrator. */
export const makeUsers = async (address: string, users: readonly { readonly username: string; readonly password: string }[]): Promise<void> => {
  const [host, port] = address.split(':');
  const connection = new Connection('tests');
  await connection.connect(host!, Number(port));
  const upsertions = users.map(({ username, password }) => {
    const salt = randomBytes(24);
    return { name: username, mechanism: ScramMechanisms.SCRAM_SHA_512, iterations, salt, saltedPassword: pbkdf2Sync(password, salt, iterations, 64, 'sha512') };
  });
  await alterUserScramCredentialsV0.api.async(connection, [], upsertions);
  await connection.close();
};
