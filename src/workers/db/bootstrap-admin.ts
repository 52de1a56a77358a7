/** The first administrator, without whom nobody could make another. */
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../host/clock.ts';
import { user as userShape, type User } from '../../messages/db-to-rest.user.ts';
import type { Log } from '../../observability/log.ts';
import type { Database } from '../../postgres/database.ts';
import { hashPassword, isCurrentRecordOf } from './password.ts';
import { createPostgresDbTx } from './postgres/db-tx.ts';
import { userRecord } from './publication.ts';

export type BootstrapAdminOptions = {
  readonly database: Database;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly login: string;
  readonly password: string;
};

/**
 * Makes the administrator, or gives it this password when it has another, and tells rest. Run again with the same password it
 * changes nothing.
 */
export const ensureBootstrapAdmin = async ({ database, bus, clock, log, login, password }: BootstrapAdminOptions): Promise<void> => {
  if (!userShape.shape.login.safeParse(login).success) throw new Error(`the administrator's login ${JSON.stringify(login)} must be 3 to 255 of the characters -._@a-zA-Z0-9`);
  if (password === '') throw new Error("the administrator's password is empty; give one or let the CLI make it");
  const before = await database.transact((sql) => createPostgresDbTx(sql).users.find(login));
  if (before !== undefined && (await isCurrentRecordOf(password, before.password))) {
    await bus.publish([userRecord(before)]);
    return;
  }
  // Hashed outside the transaction: it takes a tenth of a second and a connection should not wait for it.
  const after: User = { login, fullName: before?.fullName ?? 'Administrator', enabled: true, password: await hashPassword(password) };
  await database.transact((sql) => createPostgresDbTx(sql).users.put(after, clock.now()));
  await bus.publish([userRecord(after)]);
  log.info(before === undefined ? 'db.admin.created' : 'db.admin.password-changed', { login });
};
