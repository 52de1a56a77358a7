/** `cordage flow replay`: a flow's code over its journal, on this machine, under a debugger where one is wanted. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleProject } from '../../packaging/build/bundle.ts';
import { readProject } from '../../packaging/build/project.ts';
import { bundleFileOf } from '../../testing/evaluate.ts';
import { portOf, shown } from '../arguments.ts';
import { connect, connectionOptions, connectionUsage } from '../rest/connection.ts';
import { flowOf } from './inspect.ts';
import { fetchCode, fetchJournal, type FetchedCode } from './journal.ts';
import type { ReplayOrder } from './replay-main.ts';

export const replayUsage = `cordage flow replay <shortHash> <clientRequestId|flowId> [--project <folder>] [--inspect | --inspect-brk] [--url <url> --password <text>]

  Fetches a flow's journal and the very code it is pinned to, and runs the code over the journal here. It sends nothing and changes
  nothing. At the journal's end it says where the code stands and what it waits for, or how it ended; where the code asks for
  something else than the journal has, it shows both, with exit status 1.
  --project        folder of the application's sources, for breakpoints and places (default: the working directory)
  --inspect        waits for a debugger (VS Code: attach to the port; Chrome: chrome://inspect); breakpoints in the TypeScript sources stop there
  --inspect-brk    the same, and stops before the first line
  --inspect-port   where the debugger finds it (default 9229)
${connectionUsage}`;

const child = fileURLToPath(new URL('./replay-main.ts', import.meta.url));

/** Whether breakpoints will stand where the author sees them: the folder's sources give the bundle that the flow runs. */
const sayWhetherSourcesFit = async (project: string, code: FetchedCode): Promise<void> => {
  if (code.sourceMap === undefined) return console.error('cordage: the CPK holds no source map: places are those of the bundle. Build it again with this version.');
  try {
    const { code: local } = await bundleProject(readProject(project));
    if (new TextDecoder().decode(local) === code.bundle) return;
    console.error(`cordage: the sources in ${shown(project)} are not those that the flow runs: lines may be off. Check out the version it was built from.`);
  } catch (error) {
    console.error(`cordage: whether the sources in ${shown(project)} are those that the flow runs cannot be told (${error instanceof Error ? error.message : String(error)}); name their folder with --project`);
  }
};

const optionsOf = (args: readonly string[]) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...connectionOptions,
      project: { type: 'string', default: '.' },
      inspect: { type: 'boolean', default: false },
      'inspect-brk': { type: 'boolean', default: false },
      'inspect-port': { type: 'string', default: '9229' },
    },
  });
  const port = portOf('inspect-port', values['inspect-port']);
  const flag = values['inspect-brk'] ? [`--inspect-brk=127.0.0.1:${port}`] : values.inspect ? [`--inspect-wait=127.0.0.1:${port}`] : [];
  return { connection: values, ...flowOf('flow replay', positionals), project: resolve(values.project), flag };
};

const runChild = (flag: readonly string[], file: string): Promise<number> =>
  new Promise((settle, fail) => {
    const running = spawn(process.execPath, [...flag, child, file], { stdio: 'inherit' });
    running.once('error', fail);
    running.once('exit', (code) => settle(code ?? 1));
  });

export const replay = async (args: readonly string[]): Promise<number> => {
  const { connection, shortHash, name, project, flag } = optionsOf(args);
  const client = await connect(connection, { shortHash, hostedThere: true });
  const journal = await fetchJournal(client, shortHash, name);
  const code = await fetchCode(client, journal.flow.cpkHash);
  await sayWhetherSourcesFit(project, code);
  const { flowClassName, flowId, cpkHash } = journal.flow;
  console.log(`${flowClassName}, flow ${flowId}, code of CPK ${cpkHash.slice(0, 12)}…`);
  const folder = mkdtempSync(join(tmpdir(), 'cordage-replay-'));
  try {
    const order: ReplayOrder = { ...journal, code, project, filename: bundleFileOf(project) };
    const file = join(folder, 'order.json');
    // A journal may hold what only its owner should read.
    writeFileSync(file, JSON.stringify(order), { mode: 0o600 });
    return await runChild(flag, file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
