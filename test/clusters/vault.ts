/** What the sample application has stored, read from the vault itself. */
import openSql from 'postgres';

/** Orders of this item in the vault of a virtual node, and how many ids they have. */
export const ordersIn = async (databaseUrl: string, shortHash: string, item: string): Promise<{ orders: number; ids: number }> => {
  const sql = openSql(databaseUrl, { max: 1 });
  try {
    const vault = sql(`vnode_vault_${shortHash.toLowerCase()}`);
    const [row] = await sql<{ orders: number; ids: number }[]>`
      select count(*)::int as orders, count(distinct value->>'id')::int as ids from ${vault}.entity where value->>'item' = ${item}`;
    return { ...row! };
  } finally {
    await sql.end();
  }
};
