/**
 * Random flows under faults. Each seed writes programs for flows of two or three parties and runs them without faults; then again
 * with processes that die at the points of the shell, flows that leave memory, and records that come twice, late or out of order.
 * The ends must be equal: results, vaults, what was said, what was asked of other rooms, journals.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { OperationKind } from '../../../../src/flow-sdk/operations.ts';
import { createRandom } from '../../../simulation/random.ts';
import { batchPoints, crashes, drawHarm, forgetfulOnce, noHarm } from './chaos.ts';
import type { Coverage } from './chaos.ts';
import { drawProgram, everyOperation, parties } from './program.ts';
import type { Program } from './program.ts';
import { idsOfTwoLives, makeSetting, outcomeOf, partings, runPrograms } from './run.ts';
import type { Setting, Start } from './run.ts';

/** Seeds in all; `FLOW_SEEDS` asks for more, `FLOW_SEED` for others. */
const seeds = Number(process.env['FLOW_SEEDS'] ?? 1_000);
const firstSeed = Number(process.env['FLOW_SEED'] ?? 1);
const runsPerSeed = 2;

/** Every kind of operation that flows perform; `session.fail` is of journals of before a flag. */
const operationKinds: Record<Exclude<OperationKind, 'session.fail'>, true> = {
  'session.send': true,
  'session.sendAll': true,
  'session.receive': true,
  'session.receiveAll': true,
  'session.sendAndReceive': true,
  'session.info': true,
  'session.close': true,
  'session.closeAll': true,
  'session.failAll': true,
  'db.persist': true,
  'db.merge': true,
  'db.remove': true,
  'db.find': true,
  'db.query': true,
  'db.count': true,
  'db.run': true,
  'crypto.sign': true,
  'crypto.verify': true,
  'crypto.myKeys': true,
  'members.find': true,
  'members.findByKey': true,
  'members.all': true,
  'group.parameters': true,
  continueAs: true,
  sleep: true,
};

/** What a process must have died beside, at each point: an operation that was asked for, and one that was completed. */
const moments = batchPoints.flatMap((point) => [
  `${point} start completed`,
  `${point} message kept`,
  `${point} session.open asked`,
  // Who continues as another is not answered, and the journal that says so is gone.
  ...Object.keys(operationKinds)
    .filter((kind) => kind !== 'continueAs')
    .flatMap((kind) => [`${point} ${kind} asked`, `${point} ${kind} completed`]),
]);

let setting: Setting;
beforeAll(async () => void (setting = await makeSetting()));

const drawStarts = (seed: number): Start[] => {
  const random = createRandom(seed);
  return Array.from({ length: 1 + random.below(3) }, () => {
    const party = random.pick(parties);
    return { party, program: drawProgram(random, party) };
  });
};

describe('random flows', () => {
  test(`${seeds} seeds: crashes, evictions, repeats and disorder change nothing`, { timeout: 600_000 }, async () => {
    const coverage: Coverage = new Map();
    const failed: string[] = [];
    for (let seed = firstSeed; seed < firstSeed + seeds && failed.length < 3; seed++) {
      const starts = drawStarts(seed);
      const calm = await outcomeOf(await runPrograms(setting, starts, noHarm), starts);
      for (let run = 0; run < runsPerSeed; run++) {
        const random = createRandom(seed * 1_000 + run);
        const harmed = await outcomeOf(await runPrograms(setting, starts, drawHarm(random, coverage)), starts);
        const parted = partings({ ...calm, faults: [] }, harmed);
        if (parted.length === 0) continue;
        failed.push(`seed ${seed}, run ${run} (again alone: FLOW_SEED=${seed} FLOW_SEEDS=1): ${parted.slice(0, 5).join('\n')}`);
        break;
      }
    }
    expect(failed).toEqual([]);
  });

  test('begun again under their client request ids, they ask for nothing under an id of before', { timeout: 120_000 }, async () => {
    const programs = [[{ party: 'Alice' as const, program: everyOperation }], ...Array.from({ length: 50 }, (_, i) => drawStarts(firstSeed + i))];
    const asked = { before: 0, again: 0 };
    for (const starts of programs) {
      const [before, after] = await idsOfTwoLives(await runPrograms(setting, starts, noHarm), starts);
      expect([...after].filter((id) => before.has(id))).toEqual([]);
      asked.before += before.size;
      asked.again += after.size;
    }
    expect(Math.min(asked.before, asked.again)).toBeGreaterThan(programs.length);
  });

  test('one death at each point that a flow of every operation passes, one run for each', { timeout: 120_000 }, async () => {
    const starts: Start[] = [{ party: 'Alice', program: everyOperation }];
    let points = 0;
    const count = (): boolean => ++points < 0;
    const calm = await outcomeOf(await runPrograms(setting, starts, { ...noHarm, crashAt: count }), starts);
    expect(calm.faults).toEqual([]);
    expect(points).toBeGreaterThan(100);
    const coverage: Coverage = new Map();
    const failed: string[] = [];
    for (let place = 1; place <= points; place++) {
      let passed = 0;
      const harmed = await outcomeOf(await runPrograms(setting, starts, { ...noHarm, ...crashes(() => ++passed === place, coverage) }), starts);
      const parted = partings(calm, harmed);
      if (parted.length > 0) failed.push(`dead at point ${place} of ${points}: ${parted[0]}`);
    }
    expect(failed).toEqual([]);
    expect(moments.filter((moment) => !coverage.has(moment))).toEqual([]);
  });

  test('a flow that has continued as another, and is lost in that very step, is rebuilt from its own journal', async () => {
    const again: Program = { steps: [{ do: 'group' }, { do: 'draw' }, { do: 'members' }, { do: 'find', key: 'a' }], throws: false };
    const starts: Start[] = [{ party: 'Alice', program: { ...again, next: { ...again, next: again } } }];
    const calm = await outcomeOf(await runPrograms(setting, starts, noHarm), starts);
    for (let turn = 1; turn < 16; turn++) {
      const harmed = await outcomeOf(await runPrograms(setting, starts, { ...noHarm, sandbox: () => forgetfulOnce(turn) }), starts);
      expect(partings(calm, harmed), `lost after turn ${turn}`).toEqual([]);
    }
  });
});
