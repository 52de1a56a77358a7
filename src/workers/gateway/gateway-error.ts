/** What goes wrong in this room beyond what a peer is told. */
export type GatewayErrorCode = 'GATEWAY_TLS_KEY_REFUSED' | 'GATEWAY_TLS_KEY_TIMEOUT';

export class GatewayError extends Error {
  readonly code: GatewayErrorCode;
  constructor(code: GatewayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GatewayError';
    this.code = code;
  }
}
