/** Which flows are in memory, and up to which item of their journals: copies of what the store has, and never more. */
import type { Draft } from './engine/draft.ts';
import { hasEnded } from './engine/head.ts';
import type { Sandbox } from './sandbox/sandbox.ts';

export type Memory = {
  /** Whether a flow can go on from memory at this point of its journal. */
  holds(flowId: string, itemCount: number): boolean;
  /** Stored messages that the flow has not read, by position. */
  messagesOf(flowId: string): Map<number, string>;
  /** These flows are in a step, and stay until it ends. */
  begin(flowIds: readonly string[]): void;
  end(flowIds: readonly string[]): void;
  /** Takes over what steps have come to; what could not be finished, and what has ended, leaves. */
  keep(drafts: readonly Draft[]): void;
  forget(flowIds: readonly string[]): void;
  count(): number;
};

type Entry = { readonly itemCount: number; readonly messages: Map<number, string> };

export const createMemory = (sandbox: Sandbox, flowsMax: number): Memory => {
  /** Longest idle first. */
  const entries = new Map<string, Entry>();
  const busy = new Set<string>();
  const forget = (flowIds: readonly string[]): void => {
    if (flowIds.length === 0) return;
    for (const flowId of flowIds) entries.delete(flowId);
    sandbox.forget(flowIds);
  };
  return {
    holds: (flowId, itemCount) => entries.get(flowId)?.itemCount === itemCount && sandbox.holds(flowId),
    messagesOf: (flowId) => entries.get(flowId)?.messages ?? new Map<number, string>(),
    begin: (flowIds) => flowIds.forEach((flowId) => busy.add(flowId)),
    end: (flowIds) => flowIds.forEach((flowId) => busy.delete(flowId)),
    keep: (drafts) => {
      const leaving: string[] = [];
      for (const { key, head, messages, later } of drafts) {
        entries.delete(key);
        if (later === undefined && head !== undefined && !hasEnded(head) && sandbox.holds(key)) entries.set(key, { itemCount: head.itemCount, messages });
        else if (head !== undefined) leaving.push(key);
      }
      for (const flowId of entries.keys()) {
        if (entries.size <= flowsMax) break;
        if (busy.has(flowId)) continue;
        leaving.push(flowId);
        entries.delete(flowId);
      }
      forget(leaving);
    },
    forget,
    count: () => entries.size,
  };
};
