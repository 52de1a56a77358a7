/**
 * Orders a batch of entity calls into waves that may each run as a few set-based statements.
 *
 * - **E1** two calls of one flow stand in different waves, the earlier first: a flow sees what it wrote;
 * - **E2** two calls of one wave never write the same row, so that no statement meets a row twice;
 * - **E3** a call that writes a row stands in a later wave than every earlier call that wrote it: the earlier one wins.
 */
import type { EntityCall, EntityResult } from '../db-tx.ts';

export type PlannedCall = { readonly position: number; readonly call: EntityCall };
export type Wave = readonly PlannedCall[];

const writtenIds = ({ operation }: EntityCall): readonly string[] => {
  switch (operation.type) {
    case 'persist':
    case 'merge':
      return operation.items.map(({ id }) => id);
    case 'remove':
      return operation.ids;
    case 'find':
    case 'query':
    case 'count':
      return [];
  }
};

export const planWaves = (calls: readonly EntityCall[]): readonly Wave[] => {
  const waves: PlannedCall[][] = [];
  const nextByFlow = new Map<string, number>();
  const nextByRow = new Map<string, number>();
  calls.forEach((call, position) => {
    // Neither part can hold the separator: a short hash is hexadecimal and an entity name is letters, digits, dots.
    const rows = writtenIds(call).map((id) => `${call.shortHash}\n${call.operation.entity}\n${id}`);
    let wave = nextByFlow.get(call.flowId) ?? 0;
    for (const row of rows) wave = Math.max(wave, nextByRow.get(row) ?? 0);
    nextByFlow.set(call.flowId, wave + 1);
    for (const row of rows) nextByRow.set(row, wave + 1);
    (waves[wave] ??= []).push({ position, call });
  });
  return waves;
};

/** Results by position of their call. */
export type Results = (EntityResult | undefined)[];
