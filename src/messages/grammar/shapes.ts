/** Shapes that several wires carry. Corda's words: see the glossary in docs/glossary.md. */
import * as z from 'zod';

export const base64url = z.string().regex(/^[A-Za-z0-9_-]*$/);
export const shortHash = z.string().regex(/^[0-9A-F]{12}$/);
export const x500Name = z.string().min(1).max(600);
export const groupId = z.string().min(1).max(100);
export const timestampMs = z.number().nonnegative();
export const stringMap = z.record(z.string(), z.string());

export const holdingIdentity = z.object({
  x500Name,
  groupId,
  /** First 12 upper-case hex digits of `fullHash`. */
  shortHash,
  /** SHA-256 of the canonical name followed by the group id, upper-case hex (Corda). */
  fullHash: z.string().regex(/^[0-9A-F]{64}$/),
});
export type HoldingIdentityShape = z.infer<typeof holdingIdentity>;

export const cpiId = z.object({ name: z.string().max(255), version: z.string().max(255), signerSummaryHash: z.string().max(100) });

/** What a flow of a CPK says of itself; made by the packager, checked by db, read by flow and rest. */
export const flowDeclaration = z.object({
  /** The flow class name that REST callers use, for example `com.example.Ping`. */
  name: z.string().regex(/^[._$a-zA-Z0-9]{1,250}$/),
  /** `startable` by REST; `responder` by a counterparty's session; `subflow` only by other flows. */
  kind: z.enum(['startable', 'responder', 'subflow']),
  /** The protocol it initiates or responds to. */
  protocol: z.object({ name: z.string().min(1).max(250), versions: z.array(z.int().positive()).min(1).max(100) }).optional(),
});
export type FlowDeclaration = z.infer<typeof flowDeclaration>;

export const flowStatusName = z.enum(['START_REQUESTED', 'RUNNING', 'COMPLETED', 'FAILED', 'KILLED']);
export type FlowStatusName = z.infer<typeof flowStatusName>;

export const flowStatus = z.object({
  holdingIdentityShortHash: shortHash,
  clientRequestId: z.string().nullable(),
  flowId: z.string().nullable(),
  flowStatus: flowStatusName,
  flowResult: z.string().nullable(),
  flowError: z.object({ type: z.string(), message: z.string() }).nullable(),
  timestamp: timestampMs,
  /** When this run of the flow began: a flow that was driven again, or an id that is used anew, begins its statuses anew. */
  since: timestampMs.optional(),
});
export type FlowStatus = z.infer<typeof flowStatus>;

export const operationalStatus = z.enum(['ACTIVE', 'INACTIVE']);
