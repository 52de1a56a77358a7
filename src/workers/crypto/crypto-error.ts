/** What goes wrong in the crypto room without being the asker's fault: the batch is rolled back. */
export type CryptoErrorCode =
  /** A wrapped key does not open: root passphrase or salt are not those of this database. */
  | 'CRYPTO_ROOT_KEY_WRONG'
  /** A stored key is not what its row says: the database was changed by other hands. */
  | 'CRYPTO_KEY_DAMAGED'
  /** Two workers kept making the same thing. */
  | 'CRYPTO_CONTENDED';

export class CryptoError extends Error {
  readonly code: CryptoErrorCode;
  /** True: the whole batch is tried again until it passes or somebody comes. False: the request at fault is parked. */
  readonly operational: boolean;
  constructor(code: CryptoErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CryptoError';
    this.code = code;
    this.operational = code !== 'CRYPTO_KEY_DAMAGED';
  }
}
