/** What a process refuses to start with, named by its variable. */
import { expect, test } from 'vitest';
import { readSettings } from '../../containers/settings.ts';

test('a door that would stay open longer than its process may take to leave is refused', () => {
  const broker = { CORDAGE_STATE_DIR: '/state', CORDAGE_BUS_CREDENTIALS: 'admin:password:admin', CORDAGE_STOP_TIMEOUT_MS: '10000' };
  expect(readSettings('broker', { ...broker, CORDAGE_DRAIN_MS: '9999' })).toMatchObject({ type: 'settings' });
  const refused = readSettings('broker', { ...broker, CORDAGE_DRAIN_MS: '10000' });
  expect(refused).toEqual({ type: 'invalid', reasons: [expect.stringMatching(/^CORDAGE_DRAIN_MS: .*CORDAGE_STOP_TIMEOUT_MS \(10000\)/)] });
});
