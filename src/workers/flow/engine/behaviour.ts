/**
 * Behaviour flags: how this version of the platform runs flows, where it once ran them otherwise. A flow begins with all of them;
 * they stand in the first item of its journal, and a replay behaves as they say. So a journal of before a flag replays as it did then.
 *
 * A flag names the incident it exists for, and is never renamed. It is asked for by `host.has(flag)` in the SDK.
 */
export const behaviourFlags = [
  /** A sub-flow with many sessions wrote one journal item for each of them when it ended. */
  'sub-flow-ends-sessions-at-once',
] as const;

/** Flags that a journal has and this version does not know: a later version wrote it. */
export const unknownFlags = (flags: readonly string[]): readonly string[] => {
  const known: readonly string[] = behaviourFlags;
  return flags.filter((flag) => !known.includes(flag));
};
