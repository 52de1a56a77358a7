/**
 * The story that every seed tells: flows from Alice to Bob and back, over clusters whose every part fails now and then.
 * Checked at the end: each flow ended COMPLETED with the right result (nothing lost, doubled or out of order), said so
 * once, left one note on each side, and no record was parked.
 */
import { flowIdOf } from '../../src/identity/derive.ts';
import { decode, encode } from '../../src/messages/grammar/envelope.ts';
import { flowToRestStatus } from '../../src/messages/flow-to-rest.status.ts';
import { restToFlowStart } from '../../src/messages/rest-to-flow.start.ts';
import { createWorld, noFaults, type Faults, type Side, type World } from './world.ts';

export const harshFaults: Faults = {
  publishFails: 0.03,
  publishFailsLate: 0.03,
  commitLost: 0.1,
  requestLost: 0.1,
  answerLost: 0.1,
  doubled: 0.1,
  corrupted: 0.03,
  crash: 0.01,
  rebalance: 0.02,
  timePasses: 0.05,
  skewMsMax: 30_000,
};

const flowsPerSide = 2;
const messagesPerFlow = 3;
/**
 * Turns with faults at most, then calm ones in which everything must come to its end. When all flows have ended earlier, faults
 * go on for a while, so that repeats have their chance to do harm.
 */
const harshTurns = 600;
const harshTurnsAfter = 60;
/** Whether all have ended is looked at this often. */
const lookTurns = 20;
const calmTurnsMax = 20_000;

/** Starts the counting flow; gives its id. */
export const startFlow = async ({ cluster, identity }: Side, otherMember: string, clientRequestId: string, messages = messagesPerFlow): Promise<string> => {
  const flowId = flowIdOf(identity.shortHash, clientRequestId);
  const record = encode(restToFlowStart, {
    key: flowId,
    id: `start-${clientRequestId}`,
    body: { holdingIdentity: identity, clientRequestId, flowClassName: 'simulation.Count', requestBody: JSON.stringify({ otherMember, messages }), startedBy: 'simulation' },
  });
  // As REST does: the same request is published again until the bus has acknowledged it.
  for (;;) {
    try {
      await cluster.bus.publish([record]);
      return flowId;
    } catch {
      continue;
    }
  }
};

const terminal = new Set(['COMPLETED', 'FAILED', 'KILLED']);

/** How each flow ended, by id; several different ends of one flow are a fault and are all shown. */
const endsOf = ({ cluster }: Side): Map<string, Set<string>> => {
  const ends = new Map<string, Set<string>>();
  for (const record of cluster.bus.records(flowToRestStatus.topic)) {
    const decoded = decode(flowToRestStatus, record);
    if (decoded.type !== 'message' || !terminal.has(decoded.delivery.body.flowStatus)) continue;
    const { flowStatus, flowResult, flowError } = decoded.delivery.body;
    const seen = ends.get(record.key) ?? new Set();
    ends.set(record.key, seen.add(`${flowStatus} ${flowResult ?? JSON.stringify(flowError)}`));
  }
  return ends;
};

const expected = `COMPLETED ${JSON.stringify(Array.from({ length: messagesPerFlow }, (_, i) => i + 1))}`;

const faultsOf = async (world: World, started: readonly (readonly string[])[]): Promise<string[]> => {
  const faults: string[] = [];
  for (const [index, side] of world.sides.entries()) {
    const ends = endsOf(side);
    for (const flowId of started[index]!) {
      const seen = [...(ends.get(flowId) ?? [])];
      if (seen.length !== 1 || seen[0] !== expected) faults.push(`flow ${flowId} of ${side.identity.x500Name}: ${seen.length === 0 ? 'never ended' : seen.join(' and ')}`);
    }
    for (const lot of side.cluster.lots) for (const { topic, reason } of await lot.list(10)) faults.push(`parked on ${topic}: ${reason}`);
  }
  return faults;
};

const allEnded = (world: World, started: readonly (readonly string[])[]): boolean =>
  world.sides.every((side, index) => {
    const ends = endsOf(side);
    return started[index]!.every((flowId) => ends.has(flowId));
  });

export type Told = { readonly world: World; readonly seed: number; readonly faults: readonly string[]; readonly turns: number; readonly trace: readonly string[] };

/** Tells the story of a seed; `faults` is empty when all promises were kept. */
export const tell = async (seed: number, faults: Faults = harshFaults, { calm = true }: { calm?: boolean } = {}): Promise<Told> => {
  const world = await createWorld(seed, faults);
  const [alice, bob] = world.sides;
  const started: [string[], string[]] = [[], []];
  for (let i = 0; i < flowsPerSide; i++) {
    started[0].push(await startFlow(alice, bob.identity.x500Name, `a${i}`));
    started[1].push(await startFlow(bob, alice.identity.x500Name, `b${i}`));
  }
  let turns = 0;
  for (let end = faults === noFaults ? 0 : harshTurns; turns < end; turns++) {
    if (!(await world.turn())) break;
    if (turns % lookTurns === 0 && end === harshTurns && allEnded(world, started)) end = Math.min(harshTurns, turns + harshTurnsAfter);
  }
  if (calm) world.calm();
  for (const end = turns + calmTurnsMax; turns < end && !allEnded(world, started); turns++) if (!(await world.turn())) break;
  return { world, seed, faults: await faultsOf(world, started), turns, trace: world.trace };
};
