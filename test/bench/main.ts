/** `npm run bench [-- name …]`: every benchmark, or those named. Each prints ratios or absolute figures beside the machine. */
import { describeMachine } from './machine.ts';

const benches: Readonly<Record<string, () => Promise<{ run: () => Promise<void> }>>> = {
  bridge: () => import('./bridge.ts'),
  broker: () => import('./broker.ts'),
  edge: () => import('./edge.ts'),
  entities: () => import('./entities.ts'),
  'entity-flows': () => import('./entity-flows.ts'),
  'flow-engine': () => import('./flow-engine.ts'),
  'flow-machine': () => import('./flow-machine.ts'),
  harness: () => import('./harness.ts'),
  handshakes: () => import('./handshakes.ts'),
  links: () => import('./links.ts'),
  'link-faults': () => import('./link-faults.ts'),
  'hand-over': () => import('./hand-over.ts'),
  membership: () => import('./membership.ts'),
  'parked-flows': () => import('./parked-flows.ts'),
  rest: () => import('./rest.ts'),
  sandbox: () => import('./sandbox.ts'),
  'separate-processes': () => import('./separate-processes.ts'),
  start: () => import('./start.ts'),
  'two-party': () => import('./two-party.ts'),
  'virtual-nodes': () => import('./virtual-nodes.ts'),
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in benches));
if (unknown.length > 0) {
  console.error(`no benchmark is called ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`);
  process.exit(2);
}
console.log(describeMachine());
for (const [name, load] of Object.entries(benches)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n── ${name}`);
  await (await load()).run();
}
