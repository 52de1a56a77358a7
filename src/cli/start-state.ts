/** What `cordage start` remembers between runs: `start.json` in the state directory, readable by its owner only. */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { writeDurably } from '../host/files.ts';
import { freePort, isFree } from './ports.ts';

const clusterPlan = z.object({
  name: z.string(),
  member: z.string(),
  restPort: z.int(),
  gatewayPort: z.int(),
  adminPassword: z.string(),
});
export type ClusterPlan = z.infer<typeof clusterPlan>;

const startState = z.object({
  v: z.literal(1),
  /** Of a static network from the first; a dynamic network's is known once its manager is there. */
  groupId: z.string(),
  /** Short hash of a dynamic network's manager, which stands on the first cluster. */
  manager: z.string().optional(),
  clusters: z.array(clusterPlan).length(2),
  /** True once virtual nodes are registered: the next start goes straight to the flow. */
  networkReady: z.boolean(),
});
export type StartState = z.infer<typeof startState>;

const fileIn = (directory: string): string => join(directory, 'start.json');

export const saveStartState = (directory: string, state: StartState): void => writeDurably(fileIn(directory), `${JSON.stringify(state, null, 2)}\n`);

/** Throws where there is none, or one that this version cannot read. */
export const readStartState = (directory: string): StartState => {
  const parsed = startState.safeParse(JSON.parse(readFileSync(fileIn(directory), 'utf8')));
  if (!parsed.success) throw new Error(`${fileIn(directory)} is not a state this version can read. Begin anew with --reset.`);
  return parsed.data;
};

const planClusters = async (ports: { rest: number; gateway: number }): Promise<ClusterPlan[]> => {
  const taken: number[] = [];
  const next = async (wanted: number): Promise<number> => {
    const port = await freePort(wanted, taken);
    taken.push(port);
    return port;
  };
  const plans: ClusterPlan[] = [];
  for (const [index, member] of ['CN=Alice, O=Alice Corp, L=London, C=GB', 'CN=Bob, O=Bob Corp, L=Paris, C=FR'].entries()) {
    plans.push({
      name: member.slice(3, member.indexOf(',')).toLowerCase(),
      member,
      restPort: await next(ports.rest + index),
      gatewayPort: await next(ports.gateway + index),
      adminPassword: randomBytes(12).toString('base64url'),
    });
  }
  return plans;
};

/** A gateway's port stands in the group policy, so it must be had again; a REST port may move. */
const refreshPorts = async (state: StartState): Promise<StartState> => {
  for (const { name, gatewayPort } of state.clusters) {
    if (await isFree(gatewayPort)) continue;
    throw new Error(
      `port ${gatewayPort} is taken, and the group policy names it as the gateway of cluster ${name}. ` +
        'If another `npm start` runs, stop it; else free the port, or begin a new network with --reset.',
    );
  }
  const clusters: ClusterPlan[] = [];
  for (const plan of state.clusters) clusters.push({ ...plan, restPort: await freePort(plan.restPort, clusters.map(({ restPort }) => restPort)) });
  return { ...state, clusters };
};

export const openStartState = async (
  directory: string,
  options: { reset: boolean; ports: { rest: number; gateway: number } },
): Promise<{ state: StartState; found: boolean }> => {
  if (options.reset) rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  if (existsSync(fileIn(directory))) {
    const state = await refreshPorts(readStartState(directory));
    saveStartState(directory, state);
    return { state, found: true };
  }
  const state: StartState = { v: 1, groupId: randomUUID(), clusters: await planClusters(options.ports), networkReady: false };
  saveStartState(directory, state);
  return { state, found: false };
};
