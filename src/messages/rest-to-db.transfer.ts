/**
 * What a virtual node keeps leaves for a file of its export, or comes from one, in pieces of text that REST seals and opens. The pieces
 * wait in the database, so that an export is one snapshot and an import is all or nothing.
 */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** UTF-16 code units of one piece, and pieces of one virtual node. */
export const transferCharsMax = 300_000;
export const transferPiecesMax = 4_000;

const transferId = z.uuid();
const index = z.int().min(0).max(transferPiecesMax - 1);

export const restToDbTransfer = wire({
  topic: 'rest-to-db.transfer',
  from: ['rest'],
  to: ['db'],
  key: 'transfer id',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** Writes the pieces. Refused with DB_VIRTUAL_NODE_NOT_FOUND, DB_TRANSFER_NOT_IN_MAINTENANCE, DB_TRANSFER_TOO_LARGE, DB_TRANSFER_LIMIT. */
    z.object({ type: z.literal('export'), transferId, shortHash }),
    /** Refused with DB_TRANSFER_UNKNOWN. */
    z.object({ type: z.literal('read'), transferId, index }),
    /** Refused with DB_TRANSFER_LIMIT. */
    z.object({ type: z.literal('write'), transferId, index, text: z.string().max(transferCharsMax) }),
    /**
     * Makes the virtual node of the pieces, in maintenance, held by this operation until `finish`; one whose import was broken off is made anew.
     * Refused with DB_TRANSFER_INVALID, DB_CPI_NOT_FOUND, DB_VIRTUAL_NODE_EXISTS.
     */
    z.object({ type: z.literal('import'), transferId, count: z.int().min(1).max(transferPiecesMax), shortHash }),
    /** Its keys are with crypto: the virtual node is as any other in maintenance. */
    z.object({ type: z.literal('finish'), transferId, shortHash }),
    z.object({ type: z.literal('forget'), transferId }),
  ]),
  reply: z.object({ count: z.int().optional(), text: z.string().optional() }),
});
