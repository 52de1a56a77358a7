/** What a process refuses to start with, named by its variable. */
import { expect, test } from 'vitest';
import { readSettings } from '../../containers/settings.ts';

const bus = { CORDAGE_BUS_URL: 'http://127.0.0.1:1', CORDAGE_BUS_USERNAME: 'rest', CORDAGE_BUS_PASSWORD: 'rest-password' };

test('a door that would stay open longer than its process may take to leave is refused', () => {
  const rest = { ...bus, CORDAGE_STOP_TIMEOUT_MS: '10000' };
  expect(readSettings('rest', { ...rest, CORDAGE_DRAIN_MS: '9999' })).toMatchObject({ type: 'settings' });
  const refused = readSettings('rest', { ...rest, CORDAGE_DRAIN_MS: '10000' });
  expect(refused).toEqual({ type: 'invalid', reasons: [expect.stringMatching(/^CORDAGE_DRAIN_MS: .*CORDAGE_STOP_TIMEOUT_MS \(10000\)/)] });
});

test('a process without such a door may leave as soon as it is told, whatever others wait', () => {
  const broker = { CORDAGE_STATE_DIR: '/state', CORDAGE_BUS_CREDENTIALS: 'admin:password:admin' };
  expect(readSettings('broker', { ...broker, CORDAGE_STOP_TIMEOUT_MS: '1000' })).toMatchObject({ type: 'settings' });
});
