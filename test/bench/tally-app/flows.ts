/** Who hears a numbered row of messages, and says what of it came, came twice, and came too early. */
import * as z from 'zod/mini';
import { responderFlow } from '../../../src/flow-sdk/flow-sdk.ts';

const text = z.string().check(z.maxLength(2_000));
/** `number` counts from 0 to one less than `count`. */
export const said = z.object({ number: z.int(), count: z.int(), filler: text });
export const tally = z.object({ heard: z.int(), twice: z.int(), early: z.int() });

export const hear = responderFlow({
  name: 'com.cordage.bench.Hear',
  protocol: { name: 'com.cordage.bench.counting', versions: [1] },
  run: async (_ctx, session) => {
    let [heard, twice, early] = [0, 0, 0];
    for (;;) {
      const { number, count } = await session.receive(said);
      if (number === heard) heard++;
      else if (number < heard) twice++;
      else early++;
      if (number === count - 1) return session.send({ heard, twice, early });
    }
  },
});
