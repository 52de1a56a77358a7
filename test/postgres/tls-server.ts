/** A PostgreSQL that speaks TLS, and may ask for client certificates: the embedded one, told so. */
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createPrivateKey } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { issue, type Issued } from '../cipher/authority.ts';

export const certificatePem = ({ certificate }: Issued): string => certificate.toString('pem');
export const keyPem = async ({ keys }: Issued): Promise<string> =>
  createPrivateKey({ key: Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)), format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' }).toString();

export type TlsServer = {
  /** Without `sslmode`, of a superuser. */
  readonly url: string;
  readonly ca: string;
  /** Of the authority that the server asks client certificates of; its CN is the login `guest`. */
  readonly client: { readonly certificate: string; readonly key: string };
  stop(): Promise<void>;
};

/** The server's account reads its key; whoever else could, PostgreSQL refuses to start with. */
const writeKey = (data: string, name: string, text: string): void => {
  const { uid, gid } = statSync(join(data, 'PG_VERSION'));
  writeFileSync(join(data, name), text, { mode: 0o600 });
  chownSync(join(data, name), uid, gid);
};

export const startTlsServer = async (): Promise<TlsServer> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-tls-'));
  const server = await startEmbeddedPostgres({ directory, log: silentLog });
  const data = join(directory, 'data');
  if (!existsSync(data)) throw new Error('the embedded server keeps its data elsewhere now');
  const authority = await issue({ name: 'CN=Database Authority', ca: true });
  const own = await issue({ name: 'CN=database', hosts: ['localhost'] }, authority);
  const guest = await issue({ name: 'CN=guest' }, authority);
  writeKey(data, 'server.key', await keyPem(own));
  writeKey(data, 'server.crt', certificatePem(own));
  writeKey(data, 'root.crt', certificatePem(authority));
  // `guest` comes over TLS with a certificate of the authority, the others as before.
  writeKey(data, 'pg_hba.conf', `hostssl all guest all cert\nhostnossl all guest all reject\n${readFileSync(join(data, 'pg_hba.conf'), 'utf8')}`);
  const admin = openDatabase({ url: server.url, connectionsMax: 4, log: silentLog });
  await admin.sql`create role guest login`;
  for (const [name, value] of [['ssl', 'on'], ['ssl_ca_file', 'root.crt']]) await admin.sql.unsafe(`alter system set ${name} = '${value}'`);
  await admin.sql`select pg_reload_conf()`;
  await admin.close();
  const url = new URL(server.url);
  url.hostname = 'localhost';
  return {
    url: url.href,
    ca: certificatePem(authority),
    client: { certificate: certificatePem(guest), key: await keyPem(guest) },
    stop: async () => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
};
