/** States as handlers read them: a removed key is not there. */
import type { StateStore } from '../store.ts';

export const withoutTombstones = (states: StateStore): StateStore => ({
  ...states,
  load: async (keys) => (await states.load(keys)).filter(({ head }) => head !== null),
});
