/** Runs a bundle's top level in a Compartment without powers and posts what it declares. One thread, one bundle. */
import 'ses';
import { parentPort, workerData } from 'node:worker_threads';

export type DeclarationsAnswer =
  /** JSON text of the declarations, to be parsed by who asked. */
  | { readonly type: 'declarations'; readonly json: string }
  | { readonly type: 'failed'; readonly reason: string };

/** Functions of what is declared are left out by JSON; a list that is none is told by its type. */
const question = `
;(() => {
  const listOf = (value, read) => (value === undefined ? [] : Array.isArray(value) ? value.map(read) : typeof value);
  return JSON.stringify({
    flows: cordageApp.flows.map((flow) => flow.declaration),
    entities: listOf(cordageApp.schema.entities, (one) => ({ ...one })),
    migrations: listOf(cordageApp.schema.migrations, (one) => ({ ...one })),
  });
})()`;

const evaluate = (source: string): DeclarationsAnswer => {
  try {
    lockdown();
    const compartment = new Compartment();
    // What the sandbox of flows leaves out, so that its lack is seen here and not there.
    for (const tool of ['Compartment', 'lockdown', 'harden', 'Temporal', 'TextDecoder']) Reflect.deleteProperty(compartment.globalThis, tool);
    const json: unknown = compartment.evaluate(`${source}\n${question}`);
    return typeof json === 'string' ? { type: 'declarations', json } : { type: 'failed', reason: 'it exports no list of flows' };
  } catch (error) {
    return { type: 'failed', reason: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
};

parentPort?.postMessage(evaluate(String(workerData)));
