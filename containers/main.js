/**
 * The entry of every process: `node containers/main.js <rest|flow|db|crypto|member|link-manager|gateway|broker|bridge|combined|migrate|topics>`.
 * It reads the environment (settings.ts), starts, and on SIGTERM or SIGINT finishes what is in work before it leaves; a second signal ends it
 * at once. `migrate` and `topics` leave by themselves when they are done.
 *
 * JavaScript, because an entry in TypeScript would load what strips types, some 25 MiB, before it could say that stripped files are kept.
 */
import { enableCompileCache, flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// What was stripped of its types and compiled is kept for the next process of this installation, beside the packages: that one is ready in half
// the time. Where nobody may write there, nothing is kept.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/cordage', import.meta.url)));
const { runProcess } = await import('./process.ts');
await runProcess();
flushCompileCache();
