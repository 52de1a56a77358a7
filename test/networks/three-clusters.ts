/** What must hold of any network over three clusters, however their gateways speak TLS: the manager on the first, Bob and Carol on the others. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { buildPackage, wrapCpb } from '../../src/packaging/build.ts';
import type { BlackBox } from '../workers/rest/black-box/cluster.ts';
import { newSigner, type Depot } from '../workers/rest/black-box/depot.ts';
import { seenBy } from '../workers/rest/black-box/dynamic-network.ts';

export type Member = { readonly box: BlackBox; readonly hash: string; readonly x500Name: string };
export type Network = { readonly mgm: Member; readonly bob: Member; readonly carol: Member };

export const greet = async ({ box, hash }: Member, { x500Name: otherMember }: Member): Promise<{ flowStatus: string; flowError: { message: string } | null }> => {
  const clientRequestId = randomUUID();
  const started = await box.call('POST', `/flow/${hash}`, { json: { clientRequestId, flowClassName: 'com.cordage.samples.Greet', requestBody: { otherMember } } });
  expect(started.status, started.text).toBe(202);
  return (await box.until('GET', `/flow/${hash}/${clientRequestId}`, ({ json }) => !['START_REQUESTED', 'RUNNING'].includes(json.flowStatus))).json;
};

const sample = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));

/** What makes the CPIs of a network: of the sample application, whose flows greet. */
export const openSampleDepot = async (): Promise<Depot> => {
  const signer = await newSigner();
  const { cpb } = await buildPackage({ project: sample, signer });
  return { signer, groupId: '', cpi: async ({ groupPolicy = '', name = 'sample' } = {}) => (await wrapCpb({ cpb, groupPolicy, signer, name })).cpi };
};

type Listed = { readonly memberContext: Record<string, string>; readonly mgmContext: Record<string, string> };

/** Waits until one member's list shows of another what the condition says; `undefined`: that it is not in it. */
export const untilSeen = ({ box, hash }: Member, { x500Name }: Pick<Member, 'x500Name'>, isSo: (listed: Listed | undefined) => boolean) =>
  box.until('GET', `/members/${hash}?statuses=ACTIVE&statuses=SUSPENDED&statuses=PENDING`, ({ json }) => isSo((json.members as Listed[]).find(({ memberContext }) => memberContext['corda.name'] === x500Name)));

const standing = async ({ box, hash }: Member, verb: 'suspend' | 'activate', { x500Name }: Member, serialNumber: number): Promise<number> =>
  (await box.call('POST', `/mgm/${hash}/${verb}`, { json: { x500Name, serialNumber } })).status;

export const networkStories = (network: () => Network): void => {
  test('each cluster knows all three, and a flow runs between two members through their gateways', async () => {
    const { mgm, bob, carol } = network();
    const all = [mgm, bob, carol].map(({ x500Name }) => x500Name).sort();
    for (const member of [mgm, bob, carol]) {
      for (const other of [mgm, bob, carol]) await untilSeen(member, other, (listed) => listed?.mgmContext['corda.status'] === 'ACTIVE');
      expect(Object.keys(await seenBy(member.box, member.hash)).sort()).toEqual(all);
    }
    expect(await greet(bob, carol)).toMatchObject({ flowStatus: 'COMPLETED' });
    expect(await greet(carol, bob)).toMatchObject({ flowStatus: 'COMPLETED' });
  }, 60_000);

  test('a suspended member is unseen and unreachable on the third cluster until it is active again; a stale serial is refused', async () => {
    const { mgm, bob, carol } = network();
    expect(await standing(mgm, 'suspend', bob, 1)).toBe(204);
    await untilSeen(carol, bob, (listed) => listed === undefined);
    expect(await greet(carol, bob)).toMatchObject({ flowStatus: 'FAILED' });
    await untilSeen(bob, bob, (listed) => listed?.mgmContext['corda.status'] === 'SUSPENDED');
    expect(await greet(bob, carol)).toMatchObject({ flowStatus: 'FAILED' });
    expect(await standing(mgm, 'activate', bob, 1), 'its serial is 2 by now').toBe(409);
    expect(await standing(mgm, 'suspend', bob, 2), 'it is suspended already').toBe(409);
    expect(await standing(mgm, 'activate', bob, 2)).toBe(204);
    await untilSeen(carol, bob, (listed) => listed?.mgmContext['corda.serial'] === '3');
    await untilSeen(bob, bob, (listed) => listed?.mgmContext['corda.status'] === 'ACTIVE');
    expect(await greet(carol, bob)).toMatchObject({ flowStatus: 'COMPLETED' });
  }, 60_000);
};
