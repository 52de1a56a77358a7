/** Which flow of a virtual node answers a protocol. */
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';

export type Responder =
  | { readonly type: 'responder'; readonly flowClassName: string; readonly cpkHash: string; readonly version: number }
  | { readonly type: 'none'; readonly reason: string };

/**
 * Among the responders of this protocol, the one that shares the highest version with the initiator. What is refused tells a
 * stranger no more than that.
 */
export const chooseResponder = (cpi: CpiMetadata, cpkHashes: readonly string[], protocol: string, versions: readonly number[]): Responder => {
  const speakers = cpi.cpks
    .filter(({ hash }) => cpkHashes.includes(hash))
    .flatMap(({ hash, flows }) => flows.map((flow) => ({ hash, flow })))
    .filter(({ flow }) => flow.kind === 'responder' && flow.protocol?.name === protocol);
  if (speakers.length === 0) return { type: 'none', reason: `no flow of this member answers the protocol ${protocol}` };
  const shared = speakers.flatMap(({ hash, flow }) =>
    (flow.protocol?.versions ?? []).filter((version) => versions.includes(version)).map((version) => ({ hash, flow, version })),
  );
  const [best] = shared.sort((one, other) => other.version - one.version);
  if (best === undefined) return { type: 'none', reason: `no common version of the protocol ${protocol}: this side was offered ${versions.join(', ')}` };
  return { type: 'responder', flowClassName: best.flow.name, cpkHash: best.hash, version: best.version };
};
