/** The stores of a room that is a machine. */
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import type { OpenRoom } from '../open-room.ts';
import { databaseOf, type Platform } from '../platform.ts';

export const machineStores = (platform: Platform, schema: string): Required<Pick<OpenRoom, 'parking' | 'states'>> => {
  const database = databaseOf(platform);
  return { parking: createPostgresParkingLot({ database, schema }), states: createPostgresStateStore({ database, schema }) };
};
