/** A vault in a real PostgreSQL with the tables of a project's migrations, for flows that run without a cluster. */
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { readApplication } from '../../src/packaging/build/declarations.ts';
import { readProject } from '../../src/packaging/build/project.ts';
import { checkQuery, parseSchema } from '../../src/packaging/schema.ts';
import { startTestServer, transactOn } from '../workers/db/database.ts';
import { makeVirtualNode } from '../workers/db/virtual-nodes.ts';
import type { Queried, SandboxQuery } from './sandbox-thread.ts';

export type Vault = { readonly answerQuery: (member: string, query: SandboxQuery['query']) => Promise<Queried>; close(): Promise<void> };

/** One vault for whoever asks. */
export const openVault = async (project: string): Promise<Vault> => {
  const { schema: text } = await readApplication((await bundleProject(readProject(project))).code);
  const parsed = parseSchema(text ?? '{"version":1,"entities":[],"migrations":[]}');
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  const { schema } = parsed;
  const server = await startTestServer();
  const database = await server.database();
  const shortHash = await transactOn(database, makeVirtualNode);
  const migrated = await transactOn(database, (tx) => tx.virtualNodes.migrate([shortHash], [{ cpkName: 'examples', schema }], 0));
  if (migrated.type === 'failed') throw new Error(migrated.reason);
  return {
    answerQuery: async (_, query) => {
      const checked = checkQuery(query, schema.catalog);
      if (checked.type === 'invalid') return { code: 'DB_QUERY_INVALID', message: checked.reason };
      const [result] = await transactOn(database, (tx) => tx.tables.run([{ shortHash, statement: checked.statement }]));
      return result!.type === 'done' ? result!.reply : { code: result!.code, message: result!.reason };
    },
    close: () => server.stop(),
  };
};
