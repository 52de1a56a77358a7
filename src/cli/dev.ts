/**
 * `cordage dev`: two clusters that run the application under development. On save it is built anew, takes the place of the old
 * code, and the next flow runs it; flows under way keep the code that they began with.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { PackageBuildError } from '../packaging/build.ts';
import { portOf, shown, usageError } from './arguments.ts';
import { createLiveCode, type LiveCode } from './live-code.ts';
import { runFlow, shortHashOf } from './network.ts';
import { createProgress, type Progress } from './progress.ts';
import { openStartState, saveStartState, type StartState } from './start-state.ts';
import { adminLogin, buildNetwork, policyFileOf, startClusters, stopClusters, untilStopped, type Clusters } from './two-clusters.ts';
import { watchProject } from './watch.ts';

export const devUsage = `cordage dev [<project>] [--run <flow> [--input <json>]] [--state <folder>] [--reset] [--rest-port <n>] [--gateway-port <n>]

  Starts two clusters with the application of <project> (default: the working directory) and a network of Alice and Bob. Whenever a
  source is saved, the application is built and takes the place of the old code: the next flow runs it, flows under way keep theirs.
  --run            a flow that Alice starts after each change, for instance com.example.Ping
  --input          its argument as JSON; "$bob" in it stands for Bob's X.500 name (default {"otherMember":"$bob"})
  --state          where the clusters keep their state (default .cordage/dev in the project)
  --reset          forget what is in the state folder and begin anew
  --rest-port      first REST port to try (default 8888)
  --gateway-port   first gateway port to try (default 8080)`;

type DevOptions = {
  readonly project: string;
  readonly directory: string;
  readonly reset: boolean;
  readonly ports: { readonly rest: number; readonly gateway: number };
  readonly run: string | undefined;
  readonly input: string;
};

const optionsOf = (args: readonly string[]): DevOptions => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      run: { type: 'string' },
      input: { type: 'string', default: '{"otherMember":"$bob"}' },
      state: { type: 'string' },
      reset: { type: 'boolean', default: false },
      'rest-port': { type: 'string', default: '8888' },
      'gateway-port': { type: 'string', default: '8080' },
    },
  });
  const [project = '.', ...rest] = positionals;
  if (rest.length > 0) throw usageError(`dev takes one project, not also ${rest.join(' ')}`);
  try {
    JSON.parse(values.input);
  } catch {
    throw usageError(`--input must be JSON, not ${values.input}`);
  }
  return {
    project: resolve(project),
    directory: resolve(values.state ?? join(project, '.cordage/dev')),
    reset: values.reset,
    ports: { rest: portOf('rest-port', values['rest-port']), gateway: portOf('gateway-port', values['gateway-port']) },
    run: values.run,
    input: values.input,
  };
};

const timeOfDay = (): string => new Date().toTimeString().slice(0, 8);
const ms = (duration: number): string => `${Math.round(duration)} ms`;

/** Starts the flow that the author wants to see, and shows how it ended. */
const showFlow = async (progress: Progress, { run, input }: DevOptions, { members }: Clusters): Promise<void> => {
  if (run === undefined) return;
  const [alice, bob] = members;
  const begun = performance.now();
  try {
    const requestBody: unknown = JSON.parse(input.replaceAll('$bob', bob!.name));
    const clientRequestId = `dev-${randomUUID()}`;
    const { status, result } = await runFlow(alice!.client, { shortHash: shortHashOf(alice!), clientRequestId, flowClassName: run, requestBody });
    progress.say(`    ${run}: ${status} ${JSON.stringify(result)}  (${ms(performance.now() - begun)}, ${clientRequestId})`);
  } catch (error) {
    progress.say(`    ${run}: ${error instanceof Error ? error.message : String(error)}`);
  }
};

const takeOver = async (progress: Progress, code: LiveCode, since: number): Promise<boolean> => {
  try {
    const update = await code.update();
    if (update.type === 'unchanged') return false;
    const { built, buildMs, uploadMs } = update;
    progress.say(`  ✓ ${timeOfDay()}  new code of ${built.name} ${built.version} in place after ${ms(performance.now() - since)} (build ${ms(buildMs)}, clusters ${ms(uploadMs)})`);
    return true;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const kept = error instanceof PackageBuildError ? 'the clusters keep running the code they have' : 'the clusters may be running the old code';
    progress.say(`  ✗ ${timeOfDay()}  ${error.message}\n    ${kept}`);
    return false;
  }
};

const printDirections = (progress: Progress, { directory }: DevOptions, state: StartState, { processes, members }: Clusters): void => {
  const [alice] = members;
  const [plan] = state.clusters;
  const body = JSON.stringify({ clientRequestId: 'my-first', flowClassName: '<flow>', requestBody: { otherMember: members[1]!.name } });
  progress.say();
  for (const [index, { name, restUrl, logFile }] of processes.entries()) progress.say(`  ${name}: ${members[index]!.name}, REST ${restUrl}/api/v5_2, log ${shown(logFile)}`);
  progress.say(`  curl -u ${adminLogin}:${plan!.adminPassword} -H 'content-type: application/json' -d '${body}' ${processes[0]!.restUrl}/api/v5_2/flow/${shortHashOf(alice!)}`);
  progress.say(`  cordage flow inspect ${shortHashOf(alice!)} <clientRequestId> --state ${shown(directory)}`);
  progress.say();
};

/** A network that an earlier run has made gets the code of now; a new one is made with it. */
const provideNetwork = async (progress: Progress, options: DevOptions, state: StartState, clusters: Clusters): Promise<LiveCode> => {
  const { project, directory } = options;
  const there = state.networkReady && existsSync(policyFileOf(directory));
  if (!there) {
    await buildNetwork(progress, clusters.members, state, directory, project);
    saveStartState(directory, { ...state, networkReady: true });
  }
  const code = await createLiveCode({ project, groupPolicy: readFileSync(policyFileOf(directory), 'utf8'), signingKey: join(directory, 'signing-key'), members: clusters.members });
  // What stands in the clusters is older than the sources, which may not even build now.
  if (there) await takeOver(progress, code, performance.now());
  return code;
};

export const dev = async (args: readonly string[]): Promise<number> => {
  const options = optionsOf(args);
  const progress = createProgress();
  progress.say();
  const { state, found } = await openStartState(options.directory, options);
  const clusters = await progress.step(found ? `Two clusters, state found in ${shown(options.directory)}` : 'Two clusters', () => startClusters(state, options.directory));
  try {
    const code = await provideNetwork(progress, options, state, clusters);
    printDirections(progress, options, state, clusters);
    await showFlow(progress, options, clusters);
    const watch = watchProject(options.project, async (since) => {
      if (await takeOver(progress, code, since)) await showFlow(progress, options, clusters);
    });
    progress.say(`  Watching ${shown(options.project)}. Ctrl-C stops both clusters; the next start finds their state again.`);
    const accident = await untilStopped(clusters);
    watch.close();
    progress.say();
    if (accident !== undefined) progress.say(`  ${accident}`);
    return accident === undefined ? 0 : 1;
  } finally {
    await stopClusters(progress, clusters);
  }
};
