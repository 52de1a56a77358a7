/** Which certificate the gateway shows for an identity here: the one it was set up with, where its group asks for certificates. */
import { expect, test } from 'vitest';
import { alice, bob, groupId, hostedOf, parametersOf } from './cluster-fixture.ts';
import { createWorld, deliveredTo } from './two-clusters.ts';

test.each([
  ['Mutual', 'cluster/p2p-tls-2'],
  ['OneWay', undefined],
] as const)('in a group with %s TLS packets name %s', async (tlsType, certificate) => {
  const world = createWorld({ seed: 5 });
  const { p2p, ...group } = parametersOf('Authenticated_Encryption');
  for (const { cluster } of [world.alice, world.bob]) cluster.views.groupParameters.map.set(groupId, { ...group, p2p: { ...p2p, tlsType } });
  world.alice.cluster.views.hostedIdentities.map.set(alice.shortHash, { ...hostedOf(alice), tlsCertificate: { holder: 'cluster', alias: 'p2p-tls-2', subject: 'CN=gateway' } });
  world.send('alice', 'm');
  world.send('bob', 'back');
  await world.run(1_000);
  expect([deliveredTo(world.bob), deliveredTo(world.alice)]).toEqual([['m'], ['back']]);
  expect(new Set(world.alice.certificates)).toEqual(new Set([certificate]));
  expect(new Set(world.bob.certificates), `${bob.name} was set up with none`).toEqual(new Set([undefined]));
});
