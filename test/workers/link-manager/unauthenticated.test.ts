/** Packets of no session at the link manager: who hears them, and how many. */
import { expect, test } from 'vitest';
import { pairTagOf } from '../../../src/identity/derive.ts';
import { linkManagerLimits } from '../../../src/workers/link-manager/config.ts';
import { createStrangerGate, onStranger, onUnauthenticated } from '../../../src/workers/link-manager/on-unauthenticated.ts';
import type { Turn, TurnDeps } from '../../../src/workers/link-manager/turn.ts';

const [source, destination, groupId] = ['O=Bob, L=Paris, C=FR', 'O=Mgm, L=London, C=GB', 'g'];
const tag = pairTagOf(groupId, source, destination);
const message = { messageId: 'm', groupId, source, destination, address: 'https://mgm.example:1', payload: 'p' };

const turnOf = (managers: readonly string[], key = tag, mayStranger = () => true) => {
  const refused: string[] = [];
  const effects: Turn['effects'] = [];
  const deps = {
    directory: { managerHere: (group: string, name: string) => (group === groupId && managers.includes(name) ? { shortHash: '0123456789AB' } : undefined), certificateOf: () => ({}) },
    tally: { refused: (reason: string) => refused.push(reason), sent: () => {}, received: () => {} },
    log: { warn: () => {} }, mayStranger,
  } as unknown as TurnDeps;
  // These handlers look at nothing else of a turn.
  return { turn: { deps, key, now: 0, effects } as unknown as Turn, refused, effects };
};
const bodies = (effects: Turn['effects']) => effects.map(({ topic, key, value }) => ({ topic, key, body: (JSON.parse(value) as { body: Record<string, unknown> }).body }));

test('go to the gateway of a manager elsewhere, and are heard by the manager they name and by nobody else', () => {
  const out = turnOf([]);
  expect(onUnauthenticated(out.turn, message)).toBeUndefined();
  const [sent] = bodies(out.effects);
  expect(sent).toMatchObject({ topic: 'link-manager-to-gateway.link-out', key: tag, body: { address: message.address, unauthenticated: true } });
  const { packet } = sent!.body as { packet: string };
  const there = turnOf([destination]);
  onStranger(there.turn, packet);
  expect(bodies(there.effects)).toMatchObject([{ topic: 'link-manager-to-member.receive', key: '0123456789AB', body: { type: 'unauthenticated', source, destination, payload: 'p' } }]);
  const nobody = turnOf([]);
  onStranger(nobody.turn, packet);
  expect([nobody.effects, nobody.refused]).toEqual([[], ['unknown-identity']]);
});

test('go straight to a manager that lives here', () => {
  const here = turnOf([destination]);
  onUnauthenticated(here.turn, message);
  expect(bodies(here.effects)).toMatchObject([{ topic: 'link-manager-to-member.receive', key: '0123456789AB' }]);
});

test('are refused under another tag, in another form, and beyond the bound', () => {
  const packet = JSON.stringify({ v: 1, type: 'unauthenticated', messageId: 'm', groupId, source, destination, payload: 'p' });
  const refusalOf = (text: string, key = tag, may = () => true): readonly string[] => {
    const { turn, refused, effects } = turnOf([destination], key, may);
    onStranger(turn, text);
    expect(effects).toEqual([]);
    return refused;
  };
  expect(refusalOf(packet, pairTagOf(groupId, 'another', destination))).toEqual(['wrong-tag']);
  for (const text of ['', '{', '{}', JSON.stringify({ ...(JSON.parse(packet) as object), more: 1 }), packet.replace('"v":1', '"v":2'), 'x'.repeat(300_000)]) expect(refusalOf(text)).toEqual(['malformed-packet']);
  expect(refusalOf(packet, tag, () => false)).toEqual(['too-many-strangers']);
  expect(onUnauthenticated(turnOf([], 'another').turn, message)).toContain('not the tag');
});

test('so many a second pass, and as many in the next', () => {
  const gate = createStrangerGate(linkManagerLimits);
  const max = linkManagerLimits.unauthenticatedPerSecondMax;
  const passed = (now: number): number => Array.from({ length: 2 * max }, () => gate(now)).filter(Boolean).length;
  expect([passed(1_000), passed(1_999), passed(2_000)]).toEqual([max, 0, max]);
});
