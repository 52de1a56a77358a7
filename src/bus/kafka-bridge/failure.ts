/** What Kafka's errors mean to the bridge: try again, look for another broker, or tell the caller, as a BusError. */
import { ProtocolError, protocolErrorsCodesById } from '@platformatic/kafka';
import { BusError, type BusErrorCode } from '../bus.ts';

/** The first name that a broker gave to what went wrong, such as `NOT_LEADER_OR_FOLLOWER`. */
export const kafkaCodeOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error)) return undefined;
  if ('apiId' in error && typeof error.apiId === 'string') return error.apiId;
  const parts: unknown = 'errors' in error ? error.errors : undefined;
  for (const part of Array.isArray(parts) ? parts : []) {
    const code = kafkaCodeOf(part);
    if (code !== undefined) return code;
  }
  return kafkaCodeOf(error.cause);
};

/** Refusals: asking again changes nothing. Whatever is not here may pass. */
const finalCodes: Readonly<Record<string, BusErrorCode>> = {
  MESSAGE_TOO_LARGE: 'BUS_RECORD_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'BUS_RECORD_TOO_LARGE',
  UNKNOWN_TOPIC_OR_PARTITION: 'BUS_UNKNOWN_TOPIC',
  INVALID_TOPIC_EXCEPTION: 'BUS_UNKNOWN_TOPIC',
  TOPIC_AUTHORIZATION_FAILED: 'BUS_REFUSED',
  GROUP_AUTHORIZATION_FAILED: 'BUS_REFUSED',
  CLUSTER_AUTHORIZATION_FAILED: 'BUS_REFUSED',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'BUS_REFUSED',
  SASL_AUTHENTICATION_FAILED: 'BUS_REFUSED',
  UNSUPPORTED_SASL_MECHANISM: 'BUS_REFUSED',
  INVALID_GROUP_ID: 'BUS_REFUSED',
  INVALID_SESSION_TIMEOUT: 'BUS_REFUSED',
  INCONSISTENT_GROUP_PROTOCOL: 'BUS_REFUSED',
  INVALID_RECORD: 'BUS_REFUSED',
  INVALID_TIMESTAMP: 'BUS_REFUSED',
  POLICY_VIOLATION: 'BUS_REFUSED',
  UNSUPPORTED_VERSION: 'BUS_REFUSED',
  UNSUPPORTED_FOR_MESSAGE_FORMAT: 'BUS_REFUSED',
};

const codeOf = (error: unknown): BusErrorCode => {
  const code = kafkaCodeOf(error);
  if (code !== undefined) return finalCodes[code] ?? 'BUS_UNREACHABLE';
  return error instanceof Error && 'code' in error && error.code === 'PLT_KFK_AUTHENTICATION' ? 'BUS_REFUSED' : 'BUS_UNREACHABLE';
};

/** The caller's view of a failure of Kafka. `what` was tried. */
export const busErrorOf = (error: unknown, what: string): BusError => {
  if (error instanceof BusError) return error;
  const reason = kafkaCodeOf(error) ?? (error instanceof Error ? error.message : String(error));
  return new BusError(codeOf(error), `Kafka could not ${what}: ${reason}`, { cause: error });
};

/** Whether the same request may succeed later. A topic may be on its way to a broker that does not know it yet. */
export const mayPass = (error: unknown): boolean => codeOf(error) === 'BUS_UNREACHABLE' || kafkaCodeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';

/** The response that a broker sent along with errors in some of its parts. */
export const responseOf = <Response>(error: unknown): Response | undefined =>
  // The client hangs it on its error; each API's response has the type of that API.
  error instanceof Error && 'response' in error ? (error.response as Response) : undefined;

/** The error of one part of a response; brokers may be newer than the client's list. */
export const errorOf = (code: number, message: string | null = null): Error =>
  code in protocolErrorsCodesById ? new ProtocolError(code, message) : new Error(`Kafka's error ${code}${message === null ? '' : `: ${message}`}`);
