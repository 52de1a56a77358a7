/** A process of any kind: reads the environment (settings.ts), starts, and leaves in order. `main.js` is the entry. */
import { join } from 'node:path';
import { systemClock } from '../src/host/clock.ts';
import { giveBackMemory } from '../src/host/memory.ts';
import { rooms } from '../src/messages/grammar/wire.ts';
import { createLog, type Log } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import type { BrokerPowers } from './broker.ts';
import { createClosing, type Closing } from './platform.ts';
import { processKinds, readSettings, type ProcessKind, type Settings } from './settings.ts';

/** A terminal and a parent may both tell the same: what comes so soon after the first signal is no second one. Milliseconds. */
const echoMs = 1_000;
/** How often a process looks whether its parent is still there. */
const parentWatchMs = 1_000;

const startBroker = async (settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const { openBroker, pushToEdge, serveBroker } = await import('./broker.ts');
  const broker = await openBroker(join(settings.CORDAGE_STATE_DIR!), powers);
  closing.add(() => broker.close());
  const server = await serveBroker(broker, settings, powers.log);
  closing.add(() => server.close());
  const pusher = await pushToEdge(broker, settings, powers);
  if (pusher !== undefined) closing.add(() => pusher.close());
  powers.log.info('broker.ready', { url: server.url });
};

/** Loads no more than the kind needs: a gateway does not read the code of the db room. */
const startKind = async (kind: ProcessKind, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  if (kind === 'migrate') return (await import('./migrate.ts')).startMigrate(settings, powers, closing);
  if (kind === 'topics') return (await import('./topics.ts')).startTopics(settings, powers);
  if (kind === 'bridge') return (await import('./bridge.ts')).startBridge(settings, powers, closing);
  if (kind === 'broker') return startBroker(settings, powers, closing);
  if (kind === 'combined') return (await import('./combined.ts')).startCombined(settings, powers, closing);
  const room = rooms.find((one) => one === kind)!;
  return (await import('./separate.ts')).startSeparate(room, settings, powers, closing);
};

/** Ends the process in order, once, and in time. */
const createLeaving = (kind: ProcessKind, settings: Settings, log: Log, closing: Closing) => {
  const { CORDAGE_STOP_TIMEOUT_MS: timeoutMs } = settings;
  let leavingSince: number | undefined;
  const leave = async (why: string, code: number): Promise<void> => {
    if (leavingSince !== undefined) return;
    leavingSince = systemClock.now();
    log.info(`${kind}.stopping`, { why });
    systemClock.after(timeoutMs, () => {
      log.error(`${kind}.stop-late`, { timeoutMs, next: 'what is not done yet is done by another replica, or at the next start' });
      process.exit(1);
    });
    await closing.run().catch((error: unknown) => log.error(`${kind}.stop-failed`, { error }));
    log.info(`${kind}.stopped`, { tookMs: systemClock.now() - leavingSince });
    process.exit(code);
  };
  const hear = (signal: NodeJS.Signals): void => {
    if (leavingSince !== undefined && systemClock.now() - leavingSince >= echoMs) {
      log.warn(`${kind}.stopped-at-once`, { why: `a second signal, ${signal}` });
      process.exit(1);
    }
    void leave(signal, 0);
  };
  return { leave, hear };
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

export const runProcess = async (): Promise<void> => {
  const kind = processKinds.find((one) => one === process.argv[2]);
  if (kind === undefined) {
    console.error(`usage: node containers/main.js <${processKinds.join('|')}>`);
    process.exit(2);
  }
  const read = readSettings(kind, process.env);
  if (read.type === 'invalid') {
    console.error(`${kind} cannot start; set these in the environment (containers/settings.ts lists all):\n${read.reasons.map((reason) => `  ${reason}`).join('\n')}`);
    process.exit(2);
  }
  const { settings } = read;
  const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { cluster: settings.CORDAGE_CLUSTER } });
  const closing = createClosing();
  const { leave, hear } = createLeaving(kind, settings, log, closing);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, hear);
  const parent = settings.CORDAGE_PARENT_PID;
  if (parent !== undefined) setInterval(() => isAlive(parent) || void leave('the process that started this one is gone', 0), parentWatchMs).unref();
  try {
    await startKind(kind, settings, { clock: systemClock, log, metrics: createMetrics() }, closing);
    giveBackMemory();
  } catch (error) {
    log.error(`${kind}.start-failed`, { error, stack: error instanceof Error ? error.stack : undefined });
    await leave('it could not start', 1);
  }
  if (kind === 'migrate' || kind === 'topics') await leave('it is done', 0);
};
