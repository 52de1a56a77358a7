/** What HTTP calls the refusals of the rooms behind rest: each code that a room can answer has a status. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { httpErrorOf } from '../../../src/workers/rest/refusal.ts';

const workers = join(import.meta.dirname, '../../../src/workers');

/** Folders that hold what the rooms behind rest refuse, with the beginning of their codes. Of flow, the engine and sandbox end flows; they refuse no request. */
const rooms = [
  { folder: 'db', prefix: 'DB' },
  { folder: 'crypto', prefix: 'CRYPTO' },
  { folder: 'member', prefix: 'MEMBER' },
  { folder: 'link-manager', prefix: 'LINK' },
  { folder: 'flow', prefix: 'FLOW' },
] as const;

/** Codes that rest is never answered, and who is. */
const answeredToOthers: Readonly<Record<string, readonly string[]>> = {
  'flow, for its entities and queries': ['DB_ENTITY_EXISTS', 'DB_ENTITY_INVALID', 'DB_ENTITY_REPLY_TOO_LARGE', 'DB_QUERY_INVALID', 'DB_QUERY_REFUSED', 'DB_QUERY_TIMEOUT', 'DB_QUERY_TOO_LARGE', 'DB_CONSTRAINT_VIOLATED'],
  'flow, member and link-manager, for signatures': ['CRYPTO_DATA_EMPTY', 'CRYPTO_DATA_MALFORMED', 'CRYPTO_KEY_CATEGORY', 'CRYPTO_KEY_NOT_FOUND', 'CRYPTO_SPEC_UNFIT'],
  'member, for what is sealed to a key': ['CRYPTO_NOT_OPENED', 'CRYPTO_PUBLIC_KEY', 'CRYPTO_SCHEME_UNFIT'],
  'member, about the networks that it keeps': ['MEMBER_GROUP_DYNAMIC', 'MEMBER_GROUP_UNKNOWN'],
  'gateway, for its TLS key': ['CRYPTO_EPHEMERAL_KEY', 'CRYPTO_HOST_NAME'],
  'nobody: they are thrown, and tried again or parked': ['CRYPTO_CONTENDED', 'CRYPTO_KEY_DAMAGED', 'CRYPTO_ROOT_KEY_WRONG', 'LINK_ENCODING_MALFORMED'],
};

/** Of the flow room only its handlers of requests, and the commands that they give. */
const isReadIn = (folder: string, path: string): boolean => path.endsWith('.ts') && (folder !== 'flow' || /^on-|engine\/command\.ts$/.test(path));

const codesIn = (folder: string, prefix: string): string[] => {
  const texts = readdirSync(join(workers, folder), { recursive: true, encoding: 'utf8' }).filter((path) => isReadIn(folder, path)).map((path) => readFileSync(join(workers, folder, path), 'utf8'));
  return texts.flatMap((text) => [...text.matchAll(new RegExp(`'(${prefix}_[A-Z0-9_]+)'`, 'g'))].map(([, code]) => code!));
};

const codes = [...new Set(rooms.flatMap(({ folder, prefix }) => codesIn(folder, prefix)))].sort();
const others = Object.values(answeredToOthers).flat();
const statusOf = (code: string): number | undefined => httpErrorOf({ type: 'refused', code, message: '' })?.status;

describe('refusals of other rooms', () => {
  test.each(codes.filter((code) => !others.includes(code)))('%s has an HTTP status', (code) => {
    expect(statusOf(code), 'Give the code its status in src/workers/rest/refusal.ts, or say here who else is answered with it.').toBeTypeOf('number');
  });

  test('none is listed as answered to others that no room knows', () => {
    expect(others.filter((code) => !codes.includes(code))).toEqual([]);
  });

  test('a status is that of a refusal, or of a room that cannot answer now', () => {
    expect(codes.map((code) => [code, statusOf(code)] as const).filter(([, status]) => status !== undefined && status !== 503 && (status < 400 || status > 499))).toEqual([]);
  });

  test('a code that stands in no table is told to nobody', () => {
    expect(httpErrorOf({ type: 'refused', code: 'constructor', message: 'secret' })).toBeUndefined();
  });
});
