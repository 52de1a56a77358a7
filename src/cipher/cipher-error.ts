/** What a cipher refuses. The message never quotes key material or plaintext. */
export type CipherErrorCode =
  | 'CIPHER_ENCODING'
  | 'CIPHER_KEY_MALFORMED'
  | 'CIPHER_OPEN_FAILED'
  | 'CIPHER_LOW_ORDER'
  | 'CIPHER_SPEC_UNFIT'
  | 'CIPHER_UNSUPPORTED';

export class CipherError extends Error {
  readonly code: CipherErrorCode;
  constructor(code: CipherErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CipherError';
    this.code = code;
  }
}
