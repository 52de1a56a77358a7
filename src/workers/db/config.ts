/** Bounds of the db room: each with its unit and the reason for its size. */

/** Bytes of one CPI file; REST refuses more at its own door, this bound holds against anything else on the bus. */
export { cpiBytesMax, cpiChunkBytesMax } from '../../messages/rest-to-db.cpi.ts';

/** Uploads under way at once: each may hold a whole CPI file in the database. */
export const uploadsOpenMax = 50;

/** An upload whose last chunk is older than this, in ms, is abandoned; its chunks are removed when another upload begins. */
export const uploadIdleMsMax = 15 * 60_000;

/** How long the outcome of an upload can be asked for, in ms: as long as the status of a flow. */
export const uploadStatusAgeMsMax = 7 * 24 * 60 * 60_000;

/** Chunks of one CPK's code: the bound of the wire that carries them (db-to-flow.cpk). */
export const cpkChunksMax = 100;

/** Exports and imports of virtual nodes under way at once: each may hold a whole vault in the database a second time. */
export const transfersOpenMax = 10;

/** One that nobody touched for this time, in ms, is abandoned; its pieces are removed when another begins. */
export const transferIdleMsMax = 15 * 60_000;

/**
 * How often a deletion asks the flow room whether a virtual node's flows are gone, each time for another page of them: far more than a
 * virtual node has, so a flow that cannot be ended shows.
 */
export const evictionsMax = 20_000;

/** Nesting of an entity's JSON: PostgreSQL parses recursively, and an honest entity is flat. */
export const entityDepthMax = 100;

/** UTF-16 code units of an answer's value as JSON text: a record (1,000,000) less its envelope and ids. */
export const replyCharsMax = 990_000;
export const entityReplyCharsMax = replyCharsMax;

/** UTF-16 code units of entity JSON in one statement: far below PostgreSQL's message bound of 1 GB, small enough for memory. */
export const statementCharsMax = 16_000_000;

/**
 * Milliseconds that one query of an application may take, be it of tables or of entities by conditions: one that has its index takes one, and
 * the batch it stands in waits for it.
 */
export const queryMsMax = 2_000;

/** Milliseconds that one step of a migration may take: it may rewrite a table, and an operator waits for it. */
export const migrationMsMax = 30_000;

/** Schemas of CPKs kept parsed: what a cluster runs at a time, some of it in two versions. */
export const schemasCachedMax = 200;

/** Certificates of one chain. */
export const certificateChainMax = 20;

/** Of scrypt (RFC 7914), in bytes. */
export const scryptSaltBytes = 16;
export const scryptHashBytes = 32;

/**
 * Of vaults in databases of their own. Pools open at once: one a database and login, however many vaults are there. Beyond it the one that was
 * used longest ago is closed; where all are in use, requests are asked to come again.
 */
export const vaultPoolsMax = 32;
/** Connections of one pool: two transactions, and two for single statements. */
export const vaultConnectionsMax = 4;
/** Milliseconds that a pool is kept for which nobody asks: its server counts connections. */
export const vaultPoolIdleMs = 60_000;
/** Seconds that a connection is waited for: who waits is one virtual node, whose requests come again. */
export const vaultConnectSecondsMax = 3;
/** Milliseconds of one batch of requests there. */
export const vaultBatchMsMax = 15_000;
/** Milliseconds for which a virtual node is taken to have its vault here without being looked for. */
export const vaultHereMs = 2_000;
