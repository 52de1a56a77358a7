/**
 * `cordage start`: two clusters on this machine, a network across them, and one flow from Alice to Bob.
 *
 * Everything goes through the clusters' REST API; nothing here that an operator could not do with curl.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { portOf, shown } from './arguments.ts';
import { buildNetwork } from './dynamic-network/two-members.ts';
import { runFlow, shortHashOf, type MemberPlan } from './network.ts';
import { createProgress, type Progress } from './progress.ts';
import { openStartState, saveStartState, type StartState } from './start-state.ts';
import { adminLogin, startClusters, stopClusters, untilStopped, type Clusters } from './two-clusters.ts';

const sampleFlow = 'com.cordage.samples.Greet';

export const startUsage = `cordage start [--once] [--state <folder>] [--reset] [--rest-port <n>] [--gateway-port <n>]

  Starts two clusters, founds a network with its manager on the first, has Alice join there and Bob on the second with the sample
  application, and runs a flow between them.
  --once           leave when the flow has ended, with exit status 0
  --state          where the clusters keep their state (default .cordage/start); the next start finds it again
  --reset          forget what is in the state folder and begin anew
  --rest-port      first REST port to try (default 8888)
  --gateway-port   first gateway port to try (default 8080)`;

type StartOptions = { once: boolean; directory: string; reset: boolean; ports: { rest: number; gateway: number } };

const optionsOf = (args: readonly string[]): StartOptions => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      once: { type: 'boolean', default: false },
      reset: { type: 'boolean', default: false },
      state: { type: 'string', default: '.cordage/start' },
      'rest-port': { type: 'string', default: '8888' },
      'gateway-port': { type: 'string', default: '8080' },
    },
  });
  return {
    once: values.once,
    reset: values.reset,
    directory: resolve(values.state),
    ports: { rest: portOf('rest-port', values['rest-port']), gateway: portOf('gateway-port', values['gateway-port']) },
  };
};

const greet = async (progress: Progress, [alice, bob]: readonly MemberPlan[], aliceHash: string): Promise<void> => {
  const clientRequestId = `start-${randomUUID()}`;
  await progress.step(
    'A flow at Alice opened a session to Bob on the other cluster and ended',
    () => runFlow(alice!.client, { shortHash: aliceHash, clientRequestId, flowClassName: sampleFlow, requestBody: { otherMember: bob!.name } }),
    ({ status, result }) => `${status}, ${JSON.stringify(result)}`,
  );
};

const printDirections = (progress: Progress, directory: string, state: StartState, { processes, members }: Clusters, aliceHash: string): void => {
  progress.say();
  for (const [index, { name, restUrl, gatewayUrl, healthUrl, logFile, pid }] of processes.entries()) {
    const { member, adminPassword } = state.clusters[index]!;
    progress.say(`  ${name}: ${member}`);
    progress.say(`    REST     ${restUrl}/api/v5_2   login ${adminLogin}, password ${adminPassword}`);
    progress.say(`    health   ${healthUrl}/status   metrics ${healthUrl}/metrics`);
    progress.say(`    gateway  ${gatewayUrl}   process ${pid}, log ${relative(process.cwd(), logFile)}`);
  }
  const body = JSON.stringify({ clientRequestId: 'my-first', flowClassName: sampleFlow, requestBody: { otherMember: members[1]!.name } });
  const { restUrl } = processes[0]!;
  const user = `${adminLogin}:${state.clusters[0]!.adminPassword}`;
  progress.say();
  progress.say('  Start another flow, then read its result (a client request id can be used once):');
  progress.say(`    curl -u ${user} -H 'content-type: application/json' -d '${body}' ${restUrl}/api/v5_2/flow/${aliceHash}`);
  progress.say(`    curl -u ${user} '${restUrl}/api/v5_2/flow/${aliceHash}/my-first/result?wait=5000'`);
  if (state.manager !== undefined) progress.say(`  Who is in the network, and who asks to join (its manager is ${state.manager}):  npm run cordage -- network list --state ${shown(directory)}`);
};

/** The network that an earlier start has made, or a new one. */
const provideNetwork = async (progress: Progress, { directory }: StartOptions, state: StartState, { members }: Clusters): Promise<StartState> => {
  if (state.networkReady) return state;
  const ready = { ...state, ...(await buildNetwork(progress, members, directory)), networkReady: true };
  saveStartState(directory, ready);
  return ready;
};

const runNetwork = async (progress: Progress, options: StartOptions, found: StartState, clusters: Clusters): Promise<void> => {
  const state = await provideNetwork(progress, options, found, clusters);
  const members = clusters.members.map((member) => ({ ...member, groupId: state.groupId }));
  const aliceHash = shortHashOf(members[0]!);
  await greet(progress, members, aliceHash);
  printDirections(progress, options.directory, state, { ...clusters, members }, aliceHash);
};

/** Runs the command; the exit status is the answer. */
export const start = async (args: readonly string[]): Promise<number> => {
  const options = optionsOf(args);
  const progress = createProgress();
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  progress.say(`\nCordage ${version}: two clusters on this machine, one flow between them\n`);
  const { state, found } = await openStartState(options.directory, options);
  const clusters = await progress.step(
    found ? `Two clusters, state found in ${relative(process.cwd(), options.directory)}` : 'Two clusters of seven workers, each with its database and broker',
    () => startClusters(state, options.directory),
    ({ processes }) => processes.map(({ name, restUrl }) => `${name} ${restUrl}`).join(', '),
  );
  try {
    await runNetwork(progress, options, state, clusters);
    if (options.once) return 0;
    progress.say('\n  Running. Ctrl-C stops both clusters; the next start finds their state again.');
    const accident = await untilStopped(clusters);
    progress.say();
    if (accident !== undefined) progress.say(`  ${accident}`);
    return accident === undefined ? 0 : 1;
  } finally {
    await stopClusters(progress, clusters);
  }
};
