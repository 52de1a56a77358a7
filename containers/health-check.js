/** Asks the process of this container how it is; leaves with 0 when it is well. For container engines that know no HTTP probes. */
const [, , url = `http://127.0.0.1:${process.env['CORDAGE_HEALTH_PORT'] ?? 7000}/isHealthy`] = process.argv;
const waitMs = 4_000;

const { ok } = await fetch(url, { signal: AbortSignal.timeout(waitMs) }).catch(() => ({ ok: false }));
process.exit(ok ? 0 : 1);
