/** The flow objects of the contract. */
import type { FlowStatus } from '../../messages/grammar/shapes.ts';

let lastMs = 0;
let lastText = new Date(lastMs).toISOString();

/** Many answers tell the same moment, and to write one takes long. */
export const isoTime = (timestampMs: number): string => {
  if (timestampMs !== lastMs) [lastMs, lastText] = [timestampMs, new Date(timestampMs).toISOString()];
  return lastText;
};

/** A result is shown when the flow completed, an error when it failed or was killed, else neither. */
export const statusBody = (status: FlowStatus) => ({
  holdingIdentityShortHash: status.holdingIdentityShortHash,
  clientRequestId: status.clientRequestId,
  flowId: status.flowId,
  flowStatus: status.flowStatus,
  flowResult: status.flowStatus === 'COMPLETED' ? status.flowResult : null,
  flowError: status.flowStatus === 'FAILED' || status.flowStatus === 'KILLED' ? status.flowError : null,
  timestamp: isoTime(status.timestamp),
});

/** How JSON text begins: to find out by an exception costs more than the rest of the answer. */
const jsonBeginning = /^\s*[[{"\-\dtfn]/;

/** A flow's result is JSON text when the flow made JSON; any other text is shown as a JSON string. */
const jsonOf = (text: string | null): unknown => {
  if (text === null || !jsonBeginning.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

export const resultBody = (status: FlowStatus) => {
  const { flowResult, ...rest } = statusBody(status);
  return { ...rest, json: jsonOf(flowResult) };
};
