/** Runs a bundle's top level in a Compartment without powers and posts what its flows declare. One thread, one bundle. */
import 'ses';
import { parentPort, workerData } from 'node:worker_threads';

export type DeclarationsAnswer =
  /** JSON text of the declarations, to be parsed by who asked. */
  | { readonly type: 'declarations'; readonly json: string }
  | { readonly type: 'failed'; readonly reason: string };

const evaluate = (source: string): DeclarationsAnswer => {
  try {
    lockdown();
    const json: unknown = new Compartment().evaluate(`${source}\n;JSON.stringify(cordageApp.flows.map((flow) => flow.declaration))`);
    return typeof json === 'string' ? { type: 'declarations', json } : { type: 'failed', reason: 'it exports no list of flows' };
  } catch (error) {
    return { type: 'failed', reason: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
};

parentPort?.postMessage(evaluate(String(workerData)));
