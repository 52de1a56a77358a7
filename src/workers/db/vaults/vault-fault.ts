/** Why a vault in a database of its own cannot be used as it is. It is somebody's to mend, and concerns no other virtual node. */
export type VaultFaultCode =
  /** Nobody answers there, or in time. */
  | 'DB_VAULT_UNREACHABLE'
  /** What is there is no place for this vault: a login without rights, a schema of somebody else's. */
  | 'DB_VAULT_UNFIT'
  /** Its tables are not those that the code wants. */
  | 'DB_VAULT_OUT_OF_STEP'
  /** The connection cannot be sealed or opened. */
  | 'DB_CONNECTION_KEY';

export class VaultFault extends Error {
  readonly code: VaultFaultCode;
  constructor(code: VaultFaultCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VaultFault';
    this.code = code;
  }
}
