/**
 * A network's list: one entry a member, and what its manager signs of them all. docs/membership.md says what is signed.
 *
 * - **L1** an entry is authentic by standing under a root that the manager signed; its member context also by its own session keys;
 * - **L2** the root covers the number of members and each entry whole, sorted by name: who has the root's entries has them all.
 */
import * as z from 'zod';
import { fromBase64url, toBase64url, utf8, concat } from '../../../cipher/bytes.ts';
import { canonicalJson } from '../../../cipher/canonical-json.ts';
import { sha256 } from '../../../cipher/digest.ts';
import { verify } from '../../../cipher/signature.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { base64url, groupId, stringMap, timestampMs, x500Name } from '../../../messages/grammar/shapes.ts';
import type { GroupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import { memberStatus, type Member } from '../../../messages/member-to-all.member.ts';
import { endpointsIn, keysIn } from './context-map.ts';

export const contextSignature = z.object({ publicKey: base64url.max(2_000), spec: signatureSpec, signature: base64url.max(2_000) });
export type ContextSignature = z.infer<typeof contextSignature>;

export const entry = z.object({
  x500Name,
  status: memberStatus,
  serial: z.int().positive(),
  memberContext: stringMap,
  signatures: z.array(contextSignature).max(10),
  mgmContext: stringMap,
});
export type Entry = z.infer<typeof entry>;

/** What the manager signs: one version of its list and of the group parameters. */
export const statement = z.object({
  v: z.literal(1),
  groupId,
  version: z.int().positive(),
  count: z.int().positive(),
  /** Of the entries. */
  root: base64url.length(43),
  epoch: z.int().positive(),
  /** SHA-256 of the group parameters' canonical JSON. */
  parameters: base64url.length(43),
  signedAt: timestampMs,
});
export type Statement = z.infer<typeof statement>;

/** A public key and the spec it signs with. */
export type SignerKey = { readonly publicKey: string; readonly spec: string };

// ── What is signed ───────────────────────────────────────────────────────────────────────────────────────────────────

const signingInput = (what: string, value: unknown): Uint8Array<ArrayBuffer> => concat(utf8(`Cordage ${what} 1`), Uint8Array.of(0), utf8(canonicalJson(value)));

export const contextInput = (memberContext: Readonly<Record<string, string>>): Uint8Array<ArrayBuffer> => signingInput('member context', memberContext);
export const statementInput = (signed: Statement): Uint8Array<ArrayBuffer> => signingInput('member list', signed);
export const requestInput = (request: unknown): Uint8Array<ArrayBuffer> => signingInput('registration request', request);

export const leaveInput = (leave: unknown): Uint8Array<ArrayBuffer> => signingInput('leaving', leave);

export const digestOf = (value: unknown): string => toBase64url(sha256(utf8(canonicalJson(value))));
export const parametersDigest = (parameters: GroupParameters): string => digestOf(parameters);

export const isSignedBy = async ({ publicKey, spec }: SignerKey, input: Uint8Array, signature: string): Promise<boolean> => {
  const known = signatureSpec.safeParse(spec);
  if (!known.success) return false;
  try {
    return await verify({ publicKey: fromBase64url(publicKey), spec: known.data, data: input, signature: fromBase64url(signature) });
  } catch {
    // What is no base64url is no signature.
    return false;
  }
};

/** Every session key of the context has signed it (L1). */
export const isContextSigned = async (memberContext: Readonly<Record<string, string>>, signatures: readonly ContextSignature[]): Promise<boolean> => {
  const keys = keysIn(memberContext, 'session');
  const input = contextInput(memberContext);
  const signed = await Promise.all(keys.map(async (key) => {
    const own = signatures.find(({ publicKey }) => publicKey === key.publicKey);
    return own !== undefined && own.spec === key.spec && (await isSignedBy(key, input, own.signature));
  }));
  return keys.length > 0 && signed.every(Boolean);
};

// ── The tree ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const leafPrefix = utf8('Cordage member list, leaf\0');
const nodePrefix = utf8('Cordage member list, node\0');

export const leafOf = (one: Entry): string => toBase64url(sha256(concat(leafPrefix, utf8(canonicalJson(one)))));

/** Of leaves in the order of their names; the last one of an odd level goes up as it is. */
export const rootOf = (leaves: readonly string[]): string => {
  let level: readonly Uint8Array[] = leaves.map(fromBase64url);
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const right = level[at + 1];
      above.push(right === undefined ? level[at]! : sha256(concat(nodePrefix, level[at]!, right)));
    }
    level = above;
  }
  return toBase64url(level[0] ?? sha256(leafPrefix));
};

export const byName = <Value>(roster: Readonly<Record<string, Value>>): readonly (readonly [string, Value])[] =>
  Object.entries(roster).sort(([one], [other]) => (one < other ? -1 : 1));

export const rootOfRoster = (roster: Readonly<Record<string, { readonly leaf: string }>>): string => rootOf(byName(roster).map(([, { leaf }]) => leaf));

// ── As the cluster's rooms read it ───────────────────────────────────────────────────────────────────────────────────

export const memberOf = (group: string, { x500Name: name, status, serial, memberContext, mgmContext, signatures }: Entry): Member => ({
  groupId: group,
  x500Name: name,
  status,
  serial,
  memberContext,
  mgmContext,
  endpoints: [...endpointsIn(memberContext)],
  sessionKeys: [...keysIn(memberContext, 'session')],
  ledgerKeys: [...keysIn(memberContext, 'ledger')],
  signatures: [...signatures],
});

/** The entry that a member's record was made of; `undefined` for one that never stood in a signed list. */
export const entryOf = ({ x500Name: name, status, serial, memberContext, mgmContext, signatures }: Member): Entry | undefined => {
  const read = entry.safeParse({ x500Name: name, status, serial, memberContext, mgmContext, signatures });
  return read.data;
};
