/** A process that starts a database in the directory it is given, says its url, and stays until it is killed. */
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';

const { url } = await startEmbeddedPostgres({ directory: process.argv[2]!, log: silentLog });
process.stdout.write(`${url}\n`);
process.stdin.resume();
