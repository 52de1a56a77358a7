import { describe, expect, test } from 'vitest';
import { linkManagerLimits } from '../../../src/workers/link-manager/config.ts';
import { createVault, deriveLinkKey, type LinkKey } from '../../../src/workers/link-manager/vault.ts';
import { createChance, linkKey, tag } from './cluster-fixture.ts';
import { createWorld, deliveredTo } from './two-clusters.ts';

const otherKey = await deriveLinkKey({ passphrase: 'another', salt: 'of tests', iterations: 1 });
const vaultOf = (...keys: [LinkKey, ...LinkKey[]]) => createVault({ keys, random: createChance(3).bytes, limits: linkManagerLimits });
const secret = Uint8Array.from({ length: 88 }, (_, i) => i);

describe('secrets at rest', () => {
  test('open in another process with the same passphrase, in their own place only', async () => {
    const sealed = await vaultOf(linkKey).of(tag).seal('session keys', 'session', secret);
    const elsewhere = vaultOf(await deriveLinkKey({ passphrase: 'of tests', salt: 'of tests', iterations: 1 }));
    expect(await elsewhere.of(tag).open('session keys', 'session', sealed)).toEqual(secret);
    const misplaced = [
      () => elsewhere.of('x'.repeat(43)).open('session keys', 'session', sealed),
      () => elsewhere.of(tag).open('handshake secret', 'session', sealed),
      () => elsewhere.of(tag).open('session keys', 'another session', sealed),
      () => elsewhere.of(tag).open('session keys', 'session', `${sealed.slice(0, -2)}AA`),
    ];
    for (const opening of misplaced) await expect(opening()).rejects.toMatchObject({ code: expect.stringMatching(/^CIPHER_/) as unknown });
  });

  test('are known by the key that sealed them, and open after a change of the passphrase while the old one is named', async () => {
    const sealed = await vaultOf(linkKey).of(tag).seal('session keys', 'session', secret);
    expect([vaultOf(otherKey), vaultOf(otherKey, linkKey)].map((vault) => vault.of(tag).knows(sealed))).toEqual([false, true]);
    const after = vaultOf(otherKey, linkKey).of(tag);
    expect(await after.open('session keys', 'session', sealed)).toEqual(secret);
    expect(vaultOf(linkKey).of(tag).knows(await after.seal('session keys', 'session', secret))).toBe(false);
  });

  test('never look the same twice', async () => {
    const vault = vaultOf(linkKey).of(tag);
    expect(await vault.seal('session keys', 'session', secret)).not.toBe(await vault.seal('session keys', 'session', secret));
  });

  test('differ by passphrase and by salt, and print as nothing', async () => {
    const names = await Promise.all([['a', 's'], ['b', 's'], ['a', 't']].map(([passphrase, salt]) => deriveLinkKey({ passphrase: passphrase!, salt: salt!, iterations: 1 })));
    expect(new Set(names.map(({ name }) => name)).size).toBe(3);
    expect(JSON.stringify(linkKey)).toContain('***');
  });
});

describe('a stolen state', () => {
  test('holds no key of a session or a handshake in clear at any moment', async () => {
    const drawn: string[] = [];
    const world = createWorld({ seed: 50 });
    world.send('alice', 'm');
    for (let i = 0; i < 30; i++) {
      await world.run(1);
      drawn.push(JSON.stringify([world.alice.head, world.bob.head]));
    }
    expect(deliveredTo(world.bob)).toEqual(['m']);
    const heads = drawn.join('\n');
    // Each is there, and each begins with the name of the key that seals it.
    for (const field of ['seed', 'secret', 'keys']) {
      const values = [...heads.matchAll(new RegExp(`"${field}":"([^"]*)"`, 'g'))].map(([, value]) => value!);
      expect(values.length, field).toBeGreaterThan(0);
      expect(values.every((value) => value.startsWith(`${linkKey.name}.`)), field).toBe(true);
    }
  });

  test('whose secrets this process cannot open leads to new sessions, and loses no message', async () => {
    const world = createWorld({ seed: 51 });
    world.send('alice', 'first');
    await world.run(1_000);
    const [session] = world.alice.head!.sessions.ready;
    const foreign = `${otherKey.name}${session!.keys.slice(otherKey.name.length)}`;
    world.alice.head = { ...world.alice.head!, sessions: { ...world.alice.head!.sessions, ready: [{ ...session!, keys: foreign }] } };
    world.send('alice', 'second');
    world.send('bob', 'back');
    await world.run(5_000);
    expect([deliveredTo(world.bob), deliveredTo(world.alice)]).toEqual([['first', 'second'], ['back']]);
    expect(world.alice.cluster.logged.join('\n')).toContain('link-manager.sessions-forgotten');
    expect(world.alice.head!.sessions.ready.every(({ keys }) => keys.startsWith(linkKey.name))).toBe(true);
  });
});
