/**
 * Refusals and what HTTP calls them: one table for rest's own codes, one for the codes that other rooms answer with.
 * A code that stands in neither is answered 500 and logged: the caller learns nothing from it.
 */
import type { Refusal } from '../../messages/grammar/envelope.ts';

const restStatuses = {
  REST_BODY_MALFORMED: 400,
  REST_BODY_INVALID: 400,
  REST_PARAMETER_INVALID: 400,
  REST_UNSUPPORTED: 400,
  REST_TRANSFER_INVALID: 400,
  REST_FLOW_NOT_STARTABLE: 400,
  REST_KEY_SCHEME_UNSUPPORTED: 400,
  REST_UNAUTHENTICATED: 401,
  REST_CROSS_SITE: 403,
  REST_FORBIDDEN: 403,
  REST_PASSWORD_EXPIRED: 403,
  REST_ROUTE_UNKNOWN: 404,
  REST_VIRTUAL_NODE_UNKNOWN: 404,
  REST_FLOW_UNKNOWN: 404,
  REST_CODE_UNKNOWN: 404,
  REST_CONFIG_SECTION_UNKNOWN: 404,
  REST_USER_UNKNOWN: 404,
  REST_ROLE_UNKNOWN: 404,
  REST_PERMISSION_UNKNOWN: 404,
  REST_HSM_CATEGORY_UNKNOWN: 404,
  REST_KEY_UNKNOWN: 404,
  REST_METHOD_NOT_ALLOWED: 405,
  REST_VIRTUAL_NODE_MAINTENANCE: 405,
  REST_FLOW_STARTED_ALREADY: 409,
  REST_VIRTUAL_NODE_IN_USE: 409,
  REST_BODY_TOO_LARGE: 413,
  REST_URL_TOO_LONG: 414,
  REST_CONTENT_TYPE: 415,
  REST_LOGINS_THROTTLED: 429,
  REST_FAULT: 500,
  REST_ROOM_SILENT: 503,
  REST_UNAVAILABLE: 503,
  REST_BUSY: 503,
} as const;

export type RestCode = keyof typeof restStatuses;

/** Codes of the rooms behind rest, as their wires name them. */
const roomStatuses: Readonly<Record<string, number>> = {
  DB_CERTIFICATE_INVALID: 400,
  DB_CERTIFICATE_NOT_FOUND: 404,
  DB_CONFIG_SECTION_UNKNOWN: 404,
  DB_CONFIG_INVALID: 400,
  DB_CONFIG_VERSION: 409,
  DB_USER_UNKNOWN: 404,
  DB_USER_EXISTS: 409,
  DB_USER_PROTECTED: 400,
  DB_ROLE_UNKNOWN: 404,
  DB_ROLE_EXISTS: 409,
  DB_ROLE_PROTECTED: 400,
  DB_ROLE_ASSIGNED: 409,
  DB_ROLE_NOT_ASSIGNED: 400,
  DB_PERMISSION_UNKNOWN: 404,
  DB_PERMISSION_ASSIGNED: 409,
  DB_PERMISSION_NOT_ASSIGNED: 400,
  DB_RBAC_LIMIT: 400,
  DB_UPLOAD_UNKNOWN: 400,
  DB_CPI_INVALID: 400,
  DB_CPI_NOT_FOUND: 400,
  DB_CPI_DUPLICATE: 409,
  DB_UPLOAD_LIMIT: 503,
  /** A list that no answer carries: a caller must ask for less. */
  DB_REPLY_TOO_LARGE: 400,
  DB_X500_INVALID: 400,
  DB_REQUEST_UNKNOWN: 404,
  DB_VIRTUAL_NODE_NOT_FOUND: 404,
  DB_VIRTUAL_NODE_EXISTS: 409,
  DB_VAULT_OUT_OF_STEP: 400,
  DB_VAULT_UNFIT: 400,
  DB_VAULT_UNREACHABLE: 503,
  DB_CONNECTION_INVALID: 400,
  DB_CONNECTION_KEY: 503,
  DB_VAULT_RESYNC_FAILED: 400,
  DB_UPGRADE_INVALID: 400,
  DB_OPERATION_IN_PROGRESS: 409,
  DB_TRANSFER_INVALID: 400,
  DB_TRANSFER_NOT_IN_MAINTENANCE: 409,
  DB_TRANSFER_TOO_LARGE: 400,
  DB_TRANSFER_LIMIT: 503,
  DB_TRANSFER_UNKNOWN: 503,
  CRYPTO_ROOT_KEY_WRONG: 400,
  CRYPTO_TENANT_TAKEN: 409,
  FLOW_START_INVALID: 400,
  FLOW_UNKNOWN: 404,
  FLOW_ENDED: 409,
  FLOW_NOT_REDRIVABLE: 409,
  FLOW_CLASS_NOT_STARTABLE: 400,
  FLOW_VIRTUAL_NODE_NOT_FOUND: 404,
  FLOW_VIRTUAL_NODE_IN_MAINTENANCE: 405,
  MEMBER_VIRTUAL_NODE_NOT_FOUND: 404,
  MEMBER_REGISTRATION_NOT_FOUND: 404,
  MEMBER_CONTEXT_INVALID: 400,
  MEMBER_ALREADY_REGISTERED: 409,
  MEMBER_NOTARY_CONFLICT: 409,
  MEMBER_NOT_MGM: 400,
  MEMBER_IS_MGM: 400,
  MEMBER_MGM_NOT_REGISTERED: 400,
  MEMBER_MGM_NOT_SET_UP: 400,
  MEMBER_MGM_FULL: 409,
  MEMBER_TLS_SUBJECT: 409,
  MEMBER_STATIC_NETWORK: 400,
  MEMBER_CERTIFICATES_INVALID: 400,
  MEMBER_REGISTRATION_STATUS: 409,
  MEMBER_RULE_INVALID: 400,
  MEMBER_RULE_EXISTS: 409,
  MEMBER_RULE_NOT_FOUND: 404,
  MEMBER_TOKEN_NOT_FOUND: 404,
  MEMBER_TOKEN_STATUS: 409,
  MEMBER_NOT_FOUND: 404,
  MEMBER_STATUS_SAME: 409,
  MEMBER_SERIAL_STALE: 409,
  MEMBER_PARAMETERS_INVALID: 400,
  /** The remedy is the caller's: a narrower search. */
  MEMBER_REPLY_TOO_LARGE: 400,
  CRYPTO_HSM_UNASSIGNED: 400,
  CRYPTO_HSM_NOT_FOUND: 404,
  CRYPTO_KEY_NOT_FOUND: 404,
  CRYPTO_X500_NAME: 400,
  CRYPTO_HOST_NAME: 400,
  CRYPTO_SPEC_UNFIT: 400,
  CRYPTO_TENANT_UNKNOWN: 404,
  CRYPTO_ROTATION_UNKNOWN: 404,
  CRYPTO_ROTATION_UNDER_WAY: 409,
  CRYPTO_ROOT_KEY_UNKNOWN: 409,
  CRYPTO_TOO_MANY_TENANTS: 400,
  CRYPTO_ALIAS_TAKEN: 409,
  CRYPTO_TOO_MANY_KEYS: 400,
  CRYPTO_BUSY: 503,
};

/** Corda's titles, where its clients are known to read them. */
const titles: Readonly<Record<string, string>> = {
  DB_CPI_DUPLICATE: 'DuplicateCpiUploadException',
  DB_CPI_INVALID: 'ValidationException',
};

export const refuse = (code: RestCode, message: string, details?: Record<string, string>): Refusal => ({
  type: 'refused',
  code,
  message,
  ...(details === undefined ? {} : { details }),
});

export const isRefusal = (value: object): value is Refusal => 'type' in value && value.type === 'refused';

export type HttpError = { readonly title: string; readonly status: number; readonly details: Readonly<Record<string, string>> };

/** What the caller is told. `undefined` when the code is in no table. */
export const httpErrorOf = ({ code, message, details = {} }: Refusal): HttpError | undefined => {
  // A code from the bus is any text; looked up as an own property only.
  const status = Object.hasOwn(restStatuses, code) ? restStatuses[code as RestCode] : Object.hasOwn(roomStatuses, code) ? roomStatuses[code] : undefined;
  if (status === undefined) return undefined;
  const title = titles[code];
  if (title === undefined) return { title: message, status, details: { ...details, code } };
  return { title, status, details: { code, errorType: title, errorMessage: message, message, ...details } };
};

/** What a caller is told of a fault: where to look it up, nothing else. */
export const faultError = (reference: string): HttpError => ({
  title: 'Internal server error',
  status: 500,
  details: { code: 'REST_FAULT', reference },
});
