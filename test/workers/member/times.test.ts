/** Times of dynamic networks that operators set. */
import { expect, test } from 'vitest';
import { readSection } from '../../../src/messages/configuration/sections.ts';
import type { StoredSection } from '../../../src/messages/db-to-all.config.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createConfig } from '../../../src/shell/live-config.ts';
import { mgmDueAt } from '../../../src/workers/member/mgm/mgm.ts';
import { newMgmState, type MgmState } from '../../../src/workers/member/mgm/state.ts';
import { timesOf } from '../../../src/workers/member/network.ts';

const minute = 60_000;

test('are read at each use, so that a change holds for what waits already', () => {
  const sections = new Map<string, StoredSection>();
  const config = createConfig({ view: { get: (name) => sections.get(name), onChange: () => () => {} }, log: silentLog });
  // Of a request, what its deadline is made of.
  const waiting = { receivedAt: 0, updatedAt: 1_000, status: 'PENDING_MEMBER_VERIFICATION' } as MgmState['requests'][string];
  const state: MgmState = { ...newMgmState, requests: { one: waiting } };
  expect(timesOf(config)).toEqual({ syncMs: 480 * minute, giveUpMs: 30 * minute, verificationMs: 20 * minute });
  expect(mgmDueAt(state, timesOf(config))).toBe(1_000 + 20 * minute);
  const source = JSON.stringify({ maxDurationBetweenSyncRequestsMinutes: 10, TTLs: { verifyMemberRequest: 5, waitForMgmSession: 10 } });
  sections.set('corda.membership', { section: 'corda.membership', version: 1, schemaVersion: { major: 1, minor: 0 }, source, updatedAt: 1 });
  expect(timesOf(config)).toEqual({ syncMs: 10 * minute, giveUpMs: 10 * minute, verificationMs: 5 * minute });
  expect(mgmDueAt(state, timesOf(config))).toBe(1_000 + 5 * minute);
});

test('of Corda that mean nothing here are taken and named', () => {
  expect(readSection('corda.membership', { expirationTimeFrame: 180, TTLs: { declineRegistration: 8 } })).toMatchObject({ type: 'read', ignored: { expirationTimeFrame: expect.any(String), 'TTLs.declineRegistration': expect.any(String) } });
  expect(readSection('corda.membership', { TTLs: { waitForMgmSession: 60 } })).toMatchObject({ type: 'invalid' });
});
