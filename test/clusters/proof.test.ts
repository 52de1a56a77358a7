/** The short form of the long proof; `npm run proof` is the long one. */
import { expect, test } from 'vitest';
import { skipsKafka } from '../kafka/kafka.ts';
import { runProof } from './proof.ts';

const flows = 150;
const onKafka = !(await skipsKafka('the proof on Kafka, which runs on the embedded broker instead'));

test('flows between clusters of two replicas of each room end once and in order while anything is killed', async () => {
  const { ends, rows, kills } = await runProof({
    flows,
    concurrency: 16,
    kafka: onKafka ? 1 : 0,
    portBase: 22_400,
    print: (line) => console.log(line),
    kills: { seed: 5, everyMs: [500, 2_500], awayMs: [0, 1_000], awayMax: 2, killsMax: 8 },
  });
  expect(ends).toEqual({ COMPLETED: flows });
  const once = { rows: flows, numbers: flows };
  expect(rows).toEqual({ alice: once, bob: once });
  // All of them may fall on a quick machine's last flows, but some must have been in the midst.
  expect(Object.keys(kills).length).toBeGreaterThan(2);
}, 400_000);
