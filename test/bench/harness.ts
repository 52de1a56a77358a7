/** What a two-party test costs its author: the first of a file, and every further one, the network opened and closed in each. */
import { fileURLToPath } from 'node:url';
import { testNetwork } from '../../src/testing/testing.ts';
import { greet } from '../apps/ping-pong/flows.ts';

const tests = 20;
const app = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));

const twoParty = async (): Promise<number> => {
  const begun = performance.now();
  await using network = await testNetwork({ app, members: ['Alice', 'Bob'] });
  const flow = await network.alice.start(greet, { otherMember: network.bob.name });
  if ((await flow.result()) !== 'Hello Alice, best wishes from Bob') throw new Error('the flow greeted somebody else');
  return performance.now() - begun;
};

export const run = async (): Promise<void> => {
  const first = await twoParty();
  const further: number[] = [];
  for (let i = 0; i < tests; i++) further.push(await twoParty());
  further.sort((one, other) => one - other);
  console.log(`first two-party test   ${first.toFixed(0)} ms`);
  console.log(`each further one       p50 ${further[tests / 2]!.toFixed(1)} ms, longest ${further.at(-1)!.toFixed(1)} ms (of ${tests})`);
};
