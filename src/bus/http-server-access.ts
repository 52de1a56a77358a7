/** Who may do what over HTTP: a credential belongs to a room, and a room may touch its own wires only. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { wires as allWires } from '../messages/messages.ts';
import type { Room, Wire } from '../messages/grammar/wire.ts';

export type Grant = {
  readonly username: string;
  mayProduce(topic: string): boolean;
  mayRead(topic: string): boolean;
  mayUseGroup(group: string): boolean;
};

export type Credential = {
  readonly username: string;
  readonly password: string;
  /** `admin` may do everything: for tools and migrations, not for workers. */
  readonly room: Room | 'admin';
};

export type BusAccess = { authenticate(username: string, password: string): Grant | undefined };

/**
 * What the wires say of a room: it produces to the topics that it speaks on, reads those that it hears, and uses groups
 * named `<room>` or `<room>/…`. Two things follow from that without a wire of their own: it reads the compacted topics that
 * it speaks on (what stands there is its own word), and it produces to topics that it alone hears (parked records are
 * published again to where they were, and a forger among them would fool only itself).
 */
export const accessFor = (room: Room, wires: readonly Wire<any, any>[] = allWires): Omit<Grant, 'username'> => {
  const heard = new Set(wires.filter(({ from, to, retention }) => to.includes(room) || (retention === 'compacted' && from.includes(room))).map(({ topic }) => topic));
  const heardAlone = wires.filter(({ to }) => to.length === 1 && to[0] === room).map(({ topic }) => topic);
  const spoken = new Set([...wires.filter(({ from }) => from.includes(room)).map(({ topic }) => topic), ...heardAlone]);
  return {
    mayProduce: (topic) => spoken.has(topic),
    mayRead: (topic) => heard.has(topic),
    mayUseGroup: (group) => group === room || group.startsWith(`${room}/`),
  };
};

const adminAccess: Omit<Grant, 'username'> = { mayProduce: () => true, mayRead: () => true, mayUseGroup: () => true };

const digest = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
/** Compared with where the name is unknown, so that both cases take the same time. */
const nobody = digest('');

/** Passwords are kept and compared as SHA-256, in constant time. */
export const createBusAccess = (options: { credentials: readonly Credential[]; wires?: readonly Wire<any, any>[] }): BusAccess => {
  const known = new Map<string, { readonly password: Buffer; readonly grant: Grant }>();
  for (const { username, password, room } of options.credentials) {
    if (known.has(username)) throw new Error(`two bus credentials have the user name "${username}"; give each its own`);
    if (password === '') throw new Error(`the bus credential "${username}" has an empty password`);
    const access = room === 'admin' ? adminAccess : accessFor(room, options.wires);
    known.set(username, { password: digest(password), grant: { username, ...access } });
  }
  return {
    authenticate: (username, password) => {
      const one = known.get(username);
      const equal = timingSafeEqual(digest(password), one?.password ?? nobody);
      return equal ? one?.grant : undefined;
    },
  };
};

/** The user name and password of an `Authorization: Basic` header (RFC 7617). */
export const parseBasic = (header: string | undefined): { username: string; password: string } | undefined => {
  const encoded = /^basic ([A-Za-z0-9+/=_-]{1,2000})$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
};
