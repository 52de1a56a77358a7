/**
 * Push: batches of records by HTTP to a worker that cannot poll, because its platform runs code only while it answers a request.
 *
 *     pusher ──POST { v, records }, signed──▶ worker ──2xx──▶ pusher commits the offsets
 *                                               └─ anything else, or nothing ──▶ the same batch again, later
 *
 * The signature is HMAC-SHA256 of `<time>.<body>` under a secret that both hold, in the header `cordage-push-signature:
 * t=<milliseconds since the epoch>,v1=<base64url>`. It proves the sender and the body; the time bounds how long a recorded request is
 * good for. Within that time a repeat is what every consumer of the bus must bear: at-least-once.
 */
import * as z from 'zod';
import { equalConstantTime, fromBase64url, toBase64url, utf8 } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { hmacSha256 } from '../../cipher/digest.ts';
import type { InRecord } from '../../messages/grammar/record.ts';

export const pushSignatureHeader = 'cordage-push-signature';

/** Records of one request, and UTF-16 code units of all their values together. */
export const pushRecordsMax = 500;
export const pushCharsMax = 4 * 1024 * 1024;
/** Bytes of one request's body: every character may take three, and escapes are rare in what was written by us. */
export const pushBytesMax = 16 * 1024 * 1024;
/** How far the signed time may lie from now, in milliseconds: 5 minutes for clocks and the way. */
const ageMsMax = 300_000;

const record = z.object({
  topic: z.string().min(1).max(249),
  partition: z.int().min(0),
  offset: z.int().min(0),
  timestamp: z.number(),
  key: z.string(),
  value: z.string(),
});
const pushBody = z.object({ v: z.literal(1), records: z.array(record).max(pushRecordsMax) });

type Key = { readonly secret: string; readonly now: number };

const macOf = (secret: string, at: number, body: string): Uint8Array => hmacSha256(utf8(secret), utf8(`${at}.${body}`));

/** A request's body and the value of its signature header. */
export const writePush = (records: readonly InRecord[], { secret, now }: Key): { readonly body: string; readonly signature: string } => {
  const body = JSON.stringify({ v: 1, records });
  return { body, signature: `t=${now},v1=${toBase64url(macOf(secret, now, body))}` };
};

export type Pushed =
  | { readonly type: 'records'; readonly records: readonly InRecord[] }
  /** Not from one who holds the secret, or too old. */
  | { readonly type: 'unsigned'; readonly reason: string }
  | { readonly type: 'malformed'; readonly reason: string };

const unsigned = (reason: string): Pushed => ({ type: 'unsigned', reason });

/** Checks the signature before anything of the body is read. */
export const readPush = (body: string, signature: string | null, { secret, now }: Key): Pushed => {
  const [, time, mac] = /^t=(\d{1,15}),v1=([-_A-Za-z0-9]{43})$/.exec(signature ?? '') ?? [];
  if (time === undefined || mac === undefined) return unsigned(`the header ${pushSignatureHeader} is missing or not of its form`);
  const at = Number(time);
  if (Math.abs(now - at) > ageMsMax) return unsigned('the signature is of another time: is a clock wrong?');
  if (!isMac(mac, macOf(secret, at, body))) return unsigned('the signature is not right for this body: do both sides have the same secret?');
  const parsed = pushBody.safeParse(jsonOf(body));
  return parsed.success ? { type: 'records', records: parsed.data.records } : { type: 'malformed', reason: z.prettifyError(parsed.error) };
};

const isMac = (text: string, expected: Uint8Array): boolean => {
  try {
    return equalConstantTime(fromBase64url(text), expected);
  } catch (error) {
    if (error instanceof CipherError) return false;
    throw error;
  }
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
