/** How the parts of the context ask their host, and write values as JSON. */
import { FlowPlatformError } from './errors.ts';
import type { AnswerOf, ContextHost, OperationKind, ParamsOf } from './operations.ts';

const isRefusal = (error: unknown): error is { code: string; message: string } =>
  typeof error === 'object' &&
  error !== null &&
  !(error instanceof Error) &&
  'code' in error &&
  'message' in error &&
  typeof error.code === 'string' &&
  typeof error.message === 'string';

/** What a refusal of the host is to flow code. */
const translated = (error: unknown): unknown => (isRefusal(error) ? new FlowPlatformError(error.code, error.message) : error);

/** Computes something at once; a refusal becomes a FlowPlatformError. */
export const computed = <Value>(work: () => Value): Value => {
  try {
    return work();
  } catch (error) {
    throw translated(error);
  }
};

/** Performs an operation; a refusal becomes a FlowPlatformError. */
export const perform = async <Kind extends OperationKind>(host: ContextHost, kind: Kind, params: ParamsOf<Kind>): Promise<AnswerOf<Kind>> => {
  try {
    return await host.operation(kind, params);
  } catch (error) {
    throw translated(error);
  }
};

/** The value as JSON text. Throws VALUE_NOT_JSON. */
export const toJson = (value: unknown, what: string): string => {
  let json: string | undefined;
  let fault = '';
  try {
    // The library's type leaves out that functions, symbols and undefined give undefined.
    json = JSON.stringify(value) as string | undefined;
  } catch (error) {
    fault = `: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (json === undefined) throw new FlowPlatformError('VALUE_NOT_JSON', `${what} cannot be written as JSON${fault}`);
  return json;
};
