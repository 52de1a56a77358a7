/**
 * One two-party flow, told record by record: what each room said, to whom, in the order in which it stood on the buses.
 * The story is a text to be read and reviewed as a diff; `npx vitest run test/transcripts -u` writes it anew.
 */
import { expect, test } from 'vitest';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { createWorld, noFaults, type World } from '../simulation/world.ts';
import { startFlow } from '../simulation/story.ts';

/** Ids, keys and ciphertext differ from run to run of other code; what is said does not. */
const gist = ({ topic, value }: InRecord): string => {
  // Written by `encode` and `answerTo`.
  const { body } = JSON.parse(value) as { body: Record<string, unknown> };
  switch (topic) {
    case 'rest-to-flow.start':
      return `start ${String(body['flowClassName'])} ${String(body['requestBody'])}`;
    case 'flow-to-rest.status':
      return `${String(body['flowStatus'])}${body['flowResult'] === null ? '' : ` ${String(body['flowResult'])}`}`;
    case 'all-to-link-manager.send':
    case 'link-manager-to-flow.receive': {
      const { seq, sender, init, content } = JSON.parse(String(body['payload'])) as { seq: number; sender: string; init?: { protocol: string }; content: unknown };
      return `${sender} ${seq}${init === undefined ? '' : ` init ${init.protocol}`} ${JSON.stringify(content)}`;
    }
    case 'link-manager-to-gateway.link-out':
    case 'gateway-to-link-manager.link-in':
      return (JSON.parse(String(body['packet'])) as { type: string }).type;
    case 'flow-to-db.entity':
      return JSON.stringify((body['operation'] as { type: string }).type);
    case 'all-to-flow.answer':
    case 'all-to-link-manager.answer':
      return (body['outcome'] as { type: string }).type;
    default:
      return '';
  }
};

const tellAll = async (world: World): Promise<string> => {
  for (let turns = 0; turns < 2_000; turns++) {
    if (world.records.some(({ record }) => record.topic === 'flow-to-rest.status' && record.value.includes('COMPLETED'))) break;
    await world.turn();
  }
  // What is still on its way (the responder's last step, acknowledgements) ends the story.
  for (let turns = 0; turns < 40; turns++) await world.turn();
  return world.records.map(({ origin, record }) => `${origin.includes('alice') ? 'alice' : 'bob  '}  ${record.topic.padEnd(36)} ${gist(record)}`.trimEnd()).join('\n');
};

test('Alice counts to two with Bob: handshake, session, entities, statuses', async () => {
  const world = await createWorld(1, noFaults);
  const [alice, bob] = world.sides;
  await startFlow(alice, bob.identity.x500Name, 'transcript', 2);
  await expect(`${await tellAll(world)}\n`).toMatchFileSnapshot('two-party-flow.txt');
});
