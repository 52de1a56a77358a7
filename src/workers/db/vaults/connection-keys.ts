/**
 * The keys that connections are sealed to: `config.connection_key`, see migrations/0014-vault-connection.sql.
 *
 *     private key = PBKDF2-HMAC-SHA256(passphrase, salt)        X25519; never written down
 *
 * Where the passphrase has been changed, a new key is made; what was sealed to one before can be opened by nobody, and is given again.
 */
import { x25519PublicKey } from '../../../cipher/agreement.ts';
import { randomBytes, textOf, toBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { openConfigSecret } from '../../../cipher/config-secret.ts';
import { keyOfPassphrase } from '../../../cipher/passphrase.ts';
import { openSealed } from '../../../cipher/sealed.ts';
import { connectionContext, databaseConnection, type DatabaseConnection, type SealedConnection } from '../../../messages/grammar/database-connection.ts';
import type { Database } from '../../../postgres/database.ts';
import { translated } from '../../../postgres/database-error.ts';
import { VaultFault } from './vault-fault.ts';

/** With its password in clear. */
export type OpenConnection = Omit<DatabaseConnection, 'password'> & { readonly password: string };

export type ConnectionKeys = {
  /** That of today, base64url. */
  publicKey(): Promise<string>;
  open(connection: SealedConnection): Promise<OpenConnection>;
};

/** PBKDF2-HMAC-SHA256 rounds: what OWASP asks for since 2023. */
const iterations = 600_000;
const saltLength = 16;
/** Keys looked through, the newest first: one for each passphrase there was. */
const keysMax = 20;

type Row = { readonly public_key: string; readonly salt: string };

const lacking = (): VaultFault => new VaultFault('DB_CONNECTION_KEY', 'connections of virtual nodes are kept sealed, and db has no passphrase for it: set CORDAGE_CONFIG_PASSPHRASE');

export const createConnectionKeys = ({ database, passphrase }: { readonly database: Database; readonly passphrase: string | undefined }): ConnectionKeys => {
  const derived = new Map<string, Promise<Bytes>>();
  const derive = (salt: string): Promise<Bytes> => {
    if (passphrase === undefined) return Promise.reject(lacking());
    const before = derived.get(salt);
    if (before !== undefined) return before;
    const made = keyOfPassphrase({ passphrase, salt, iterations, length: 32 });
    derived.set(salt, made);
    return made;
  };
  /** `undefined` where the key is of another passphrase. */
  const privateKeyOf = async ({ public_key, salt }: Row): Promise<Bytes | undefined> => {
    const key = await derive(salt);
    return toBase64url(await x25519PublicKey(key)) === public_key ? key : undefined;
  };
  const make = async (): Promise<string> => {
    const salt = toBase64url(randomBytes(saltLength));
    const publicKey = toBase64url(await x25519PublicKey(await derive(salt)));
    await translated(() => database.sql`insert into config.connection_key (public_key, salt, created_at) values (${publicKey}, ${salt}, now())`);
    return publicKey;
  };
  const secretOf = async (secret: DatabaseConnection['password']): Promise<string> => {
    if (typeof secret === 'string') return secret;
    if (passphrase === undefined) throw lacking();
    return openConfigSecret(passphrase, secret.configSecret.encryptedSecret);
  };
  return {
    publicKey: async () => {
      if (passphrase === undefined) throw lacking();
      const rows = await translated(() => database.sql<Row[]>`select public_key, salt from config.connection_key order by created_at desc limit ${keysMax}`);
      for (const row of rows) if ((await privateKeyOf(row)) !== undefined) return row.public_key;
      return make();
    },
    open: async ({ reader, sealed }) => {
      const rows = await translated(() => database.sql<Row[]>`select public_key, salt from config.connection_key where public_key = ${reader}`);
      const key = rows[0] === undefined ? undefined : await privateKeyOf(rows[0]);
      if (key === undefined) throw new VaultFault('DB_CONNECTION_KEY', 'the connection was sealed by another CORDAGE_CONFIG_PASSPHRASE than today\'s; give it again: PUT /virtualnode/{id}/db');
      try {
        const connection = databaseConnection.parse(JSON.parse(textOf(await openSealed(key, sealed, connectionContext))));
        return { ...connection, password: await secretOf(connection.password) };
      } catch (cause) {
        if (cause instanceof VaultFault) throw cause;
        const what = cause instanceof CipherError ? 'it, or the secret in it, was not sealed for this cluster' : 'it is malformed';
        throw new VaultFault('DB_CONNECTION_KEY', `the connection cannot be opened: ${what}; give it again`, { cause });
      }
    },
  };
};
