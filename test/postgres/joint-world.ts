/** For the contract of saves with another room's work: a list in the same schema that has a function to add to it. */
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import type { Database } from '../../src/postgres/database.ts';
import type { JointStatement } from '../../src/postgres/joint.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import { textArray } from '../../src/postgres/statement.ts';
import type { JointWorld } from '../shell/joint-contract.ts';

export type JointWorldOptions = {
  /** Of the stores. */
  readonly database: Database;
  readonly schema: string;
  /** Who makes tables and looks on. */
  readonly owner: Database;
};

export const openJointWorld = async ({ database, schema, owner }: JointWorldOptions): Promise<JointWorld> => {
  await owner.sql.unsafe(`
    create table ${schema}.listed (name text collate "C" primary key);
    create function ${schema}.put(names text[]) returns boolean language plpgsql as $$
    begin
      insert into ${schema}.listed select * from unnest(names);
      return true;
    end
    $$`);
  const jointly: JointStatement<readonly string[]> = { textFrom: (at) => `${schema}.put($${at}::text[])`, parametersOf: (names) => [textArray(names)] };
  const answers = createPostgresAnswerStore({ database, schema, makeTx: (sql) => sql, jointly });
  return {
    states: createPostgresStateStore({ database, schema }),
    replica: createPostgresStateStore({ database, schema }),
    put: (...names) => answers.joint!(names),
    listed: async () => (await owner.sql.unsafe<{ name: string }[]>(`select name from ${schema}.listed order by name`)).map(({ name }) => name),
  };
};
