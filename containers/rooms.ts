/** Each room made from the platform. What differs between rooms stands in a file of its own, loaded when that room is opened. */
import type { Room } from '../src/messages/grammar/wire.ts';
import type { OpenRoom } from './open-room.ts';
import type { Platform } from './platform.ts';

const openers: Readonly<Record<Room, (platform: Platform) => Promise<OpenRoom>>> = {
  rest: async (platform) => (await import('./rooms/rest.ts')).openRest(platform),
  flow: async (platform) => (await import('./rooms/flow.ts')).openFlow(platform),
  db: async (platform) => (await import('./rooms/db.ts')).openDb(platform),
  crypto: async (platform) => (await import('./rooms/crypto.ts')).openCrypto(platform),
  member: async (platform) => (await import('./rooms/member.ts')).openMember(platform),
  'link-manager': async (platform) => (await import('./rooms/link-manager.ts')).openLinkManager(platform),
  gateway: async (platform) => (await import('./rooms/gateway.ts')).openGateway(platform),
};

export const openRoom = (room: Room, platform: Platform): Promise<OpenRoom> => openers[room](platform);
