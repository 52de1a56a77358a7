/**
 * Admission of flow starts: those that the flow room has not answered are bounded, together and for each virtual node. What is
 * beyond is refused at once (503), before anything of it is written: a start that was answered 202 is never among them. When the flow
 * room's store is slow or away, starts go unanswered, the places fill, and callers are told to come again.
 */
import type { RestLimits } from './config.ts';

export type FlowAdmission = {
  /** A place for one start; `undefined` when none is free. The returned function gives it back. */
  enter(shortHash: string): (() => void) | undefined;
};

export const createFlowAdmission = ({ startsUnansweredMax, startsUnansweredPerNodeMax }: RestLimits): FlowAdmission => {
  const byNode = new Map<string, number>();
  let all = 0;
  const leave = (shortHash: string): void => {
    all--;
    const left = byNode.get(shortHash)! - 1;
    if (left === 0) byNode.delete(shortHash);
    else byNode.set(shortHash, left);
  };
  return {
    enter: (shortHash) => {
      const own = byNode.get(shortHash) ?? 0;
      if (all >= startsUnansweredMax || own >= startsUnansweredPerNodeMax) return undefined;
      all++;
      byNode.set(shortHash, own + 1);
      return () => leave(shortHash);
    },
  };
};
