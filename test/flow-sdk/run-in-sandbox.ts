/** Bundles an application and runs some of its flows in the sandbox thread. */
import { Worker } from 'node:worker_threads';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { readProject } from '../../src/packaging/build/project.ts';
import type { Queried, SandboxAnswer, SandboxQuery, SandboxWork } from './sandbox-thread.ts';

export const alice = 'CN=Alice, O=Alice, L=London, C=GB';
export const bob = 'CN=Bob, O=Bob, L=Paris, C=FR';

type AnswerQuery = (member: string, query: SandboxQuery['query']) => Promise<Queried>;

export const runInSandbox = async (project: string, work: Omit<SandboxWork, 'bundle' | 'members'>, answerQuery?: AnswerQuery): Promise<SandboxAnswer> => {
  const bundle = new TextDecoder().decode((await bundleProject(readProject(project))).code);
  const workerData: SandboxWork = { bundle, members: [alice, bob], ...work };
  const thread = new Worker(new URL('./sandbox-thread.ts', import.meta.url), { workerData, execArgv: [] });
  try {
    return await new Promise<SandboxAnswer>((resolve, reject) => {
      thread.on('message', (message: SandboxAnswer | SandboxQuery) => {
        if (!('type' in message)) return resolve(message);
        const { id, member, query } = message;
        if (answerQuery === undefined) return reject(new Error('a flow asked for tables, and this test has none'));
        answerQuery(member, query).then((answered) => thread.postMessage({ id, answered }), reject);
      });
      thread.once('error', reject);
      thread.once('exit', (code) => reject(new Error(`the sandbox thread ended with ${code} before it answered`)));
    });
  } finally {
    await thread.terminate();
  }
};
