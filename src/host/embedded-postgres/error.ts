/** Why the embedded database did not start or stop. `code` is stable. */
export type EmbeddedPostgresCode =
  | 'POSTGRES_NO_BINARIES'
  | 'POSTGRES_IN_USE'
  | 'POSTGRES_ACCOUNT'
  | 'POSTGRES_INIT_FAILED'
  | 'POSTGRES_START_FAILED'
  | 'POSTGRES_STUCK';

export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresCode;
  constructor(code: EmbeddedPostgresCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
    this.code = code;
  }
}
