import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { peerProtocols, wires } from '../../src/messages/messages.ts';
import { root } from './source.ts';

const messageFiles = readdirSync(join(root, 'src/messages')).filter((name) => name.includes('-to-'));
const messageOf = (topic: string): string => topic.slice(topic.indexOf('.') + 1);

/** Rooms without state hear their answers through `src/shell/create-requests.ts`, which correlates them by id. */
const heardByRequests = new Set(['all-to-rest.answer', 'all-to-gateway.answer']);

describe('rooms', () => {
  test('src/workers holds the seven rooms and nothing else', () => {
    expect(readdirSync(join(root, 'src/workers')).sort(), 'A new room is a decision of architecture: grammar/wire.ts first.').toEqual([...rooms].sort());
  });

  test('every room has its door, its room card and its tests', () => {
    const faults = rooms.flatMap((room) => {
      const door = join(root, 'src/workers', room, 'worker.ts');
      if (!existsSync(door)) return [`src/workers/${room}/worker.ts is missing`];
      const card = readFileSync(door, 'utf8').slice(0, 3_000);
      const missing = ['hears', 'says', 'owns', 'never'].filter((word) => !card.toLowerCase().includes(word));
      const untested = existsSync(join(root, 'test/workers', room)) ? [] : [`test/workers/${room} is missing`];
      return [...missing.map((word) => `src/workers/${room}/worker.ts: the room card does not say what it ${word}`), ...untested];
    });
    expect(faults, 'Open worker.ts with the card: hears, says, owns, never.').toEqual([]);
  });
});

describe('wires', () => {
  test('every file of src/messages is registered, and its topic is its name', () => {
    const registered = [...wires.map(({ topic }) => topic), ...peerProtocols.map(({ name }) => name)].sort();
    expect(registered, 'Add the wire to src/messages/messages.ts; name the topic as the file.').toEqual(messageFiles.map((name) => name.replace(/\.ts$/, '')).sort());
  });

  test('the name says who speaks to whom', () => {
    const faults = wires.filter(({ topic, from, to }) => {
      const [, speaker, hearer] = /^(.+)-to-(.+)\./.exec(topic) ?? [];
      return (speaker !== 'all' && from.join() !== speaker) || (hearer !== 'all' && to.join() !== hearer);
    });
    expect(faults.map(({ topic }) => topic), '`from` and `to` must be those of the file name, or several behind `all`.').toEqual([]);
  });

  test('every log wire ends in on-<message>.ts of each room that hears it', () => {
    const faults = wires
      .filter(({ topic, retention }) => retention === 'log' && !heardByRequests.has(topic))
      .flatMap(({ topic, to }) => to.map((room) => `src/workers/${room}/on-${messageOf(topic)}.ts`))
      .filter((path) => !existsSync(join(root, path)));
    expect(faults, 'Write the handler, or remove the wire that nobody hears.').toEqual([]);
  });

  test('every handler file has its wire', () => {
    const heard = new Set(wires.flatMap(({ topic, to }) => to.map((room) => `${room}/on-${messageOf(topic)}.ts`)));
    const faults = rooms.flatMap((room) =>
      readdirSync(join(root, 'src/workers', room))
        .filter((name) => name.startsWith('on-'))
        .map((name) => `${room}/${name}`)
        .filter((path) => !heard.has(path)),
    );
    expect(faults, 'A handler without a wire is dead: declare the wire in src/messages or delete the file.').toEqual([]);
  });

  test('every wire is spoken by each room that it names', () => {
    const textOf = (room: string): string =>
      readdirSync(join(root, 'src/workers', room), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => readFileSync(join(root, 'src/workers', room, name), 'utf8'))
        .join('\n');
    const texts = new Map(rooms.map((room) => [room, textOf(room)]));
    const faults = wires
      .filter(({ topic }) => !/\.(answer|wake)$/.test(topic))
      .flatMap(({ topic, from }) => from.filter((room) => !texts.get(room)!.includes(`messages/${topic}.ts`)).map((room) => `${room} does not speak ${topic}`));
    expect(faults, 'Take the room out of `from`: access lists are derived from it, and a right that is not used is a risk.').toEqual([]);
  });
});
