/** crypto-to-crypto.rotate: one step of a rotation (R1–R4 in on-rotation.ts). */
import type { Carried } from '../../messages/grammar/envelope.ts';
import { cryptoToCryptoRotate } from '../../messages/crypto-to-crypto.rotate.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { Log } from '../../observability/log.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { keysPerRotationStep, tenantsPerRotationStep } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { CryptoTx, Rotation, RotationPart, WrappedSigningKey, WrappingRef } from './crypto-tx.ts';
import { allEnded } from './lease-cache.ts';
import type { KeyMaking } from './obtain-keys.ts';
import { latestOf, master, stepRecord } from './on-rotation.ts';
import { resealWrappingKey, sealPrivateKey, type RootKey } from './root-key.ts';

type Body = BodyOf<typeof cryptoToCryptoRotate>;
type Reply = ReplyOf<typeof cryptoToCryptoRotate>;

export type OnRotateOptions = KeyMaking & { readonly log: Log };

/** How far the parts of this step are, and whether it was the last. */
type Progress = { readonly parts: readonly RotationPart[]; readonly isDone: boolean };

// ── The root key ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A worker that was not restarted with the new passphrase leaves the step to one that was. */
const targetOf = ({ roots }: KeyMaking, root: string): RootKey => {
  const target = roots.find(({ alias }) => alias === root);
  if (target !== undefined) return target;
  throw new CryptoError('CRYPTO_ROOT_KEY_WRONG', `a rotation to root key "${root}" is under way, which this worker was not given: start it with the new passphrase`);
};

const rotateRoot = async (making: KeyMaking, tx: CryptoTx, { root }: Rotation): Promise<Progress> => {
  const target = targetOf(making, root);
  const parts = await tx.rotation.openParts(master, tenantsPerRotationStep);
  if (parts.length === 0) return { parts, isDone: true };
  const rows = await tx.wrappingKeys.find(parts.map(({ name }) => name));
  const due = rows.filter(({ parent }) => parent !== root);
  await tx.rotation.rewrapWrappingKeys(await allEnded(due.map(async (row) => ({ ...(await resealWrappingKey(making.roots, target, row, making.chance)), parentBefore: row.parent }))));
  return { parts: parts.map((part) => ({ ...part, rotated: part.total })), isDone: false };
};

// ── A tenant's wrapping key ──────────────────────────────────────────────────────────────────────────────────────────

type Resealed = WrappedSigningKey & { readonly generationBefore: number };

const reseal = ({ ring, chance }: KeyMaking, tx: CryptoTx, tenant: string, keys: readonly WrappedSigningKey[]): Promise<readonly Resealed[]> =>
  ring.withWrappingKeys(tx, [tenant], async (wrappingOf) => {
    const wrapping = wrappingOf(tenant);
    if (wrapping === undefined) throw new CryptoError('CRYPTO_KEY_DAMAGED', `tenant ${tenant} has keys and no wrapping key`);
    return ring.withPrivateKeys(tx, keys, async (key, pkcs8) => {
      const material = await sealPrivateKey(wrapping.aead, key, pkcs8, chance);
      return { ...key, wrappingGeneration: wrapping.ref.generation, material, generationBefore: key.wrappingGeneration };
    });
  });

/** Seals some of the keys of one alias anew; where none is left, what sealed them goes. */
const rotateAlias = async (making: KeyMaking, tx: CryptoTx, ref: WrappingRef): Promise<{ readonly left: number; readonly isDone: boolean }> => {
  const { count, first } = await tx.rotation.keysBefore(ref, keysPerRotationStep);
  if (first.length === 0) return { left: 0, isDone: await tx.rotation.dropBefore(ref) };
  const resealed = await reseal(making, tx, ref.tenant, first);
  // One that another worker has sealed anew since it was read is not sealed once more.
  await tx.rotation.rewrapSigningKeys(resealed.filter(({ wrappingGeneration, generationBefore }) => generationBefore < wrappingGeneration));
  return { left: count - first.length, isDone: false };
};

const rotateTenant = async (making: KeyMaking, tx: CryptoTx, { tenant, parts }: Rotation): Promise<Progress> => {
  const noted: RotationPart[] = [];
  let isDone = true;
  for (const ref of latestOf(await tx.wrappingKeys.find([tenant]))) {
    const ended = await rotateAlias(making, tx, ref);
    isDone &&= ended.isDone;
    const part = parts.find(({ name }) => name === ref.alias);
    // Keys that were made meanwhile may be left beyond the total.
    if (part !== undefined) noted.push({ ...part, rotated: Math.max(0, part.total - ended.left) });
  }
  return { parts: noted, isDone };
};

// ── Steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const step = async (options: OnRotateOptions, tx: CryptoTx, { body }: Carried<Body>, now: number): Promise<Answered<Reply>> => {
  const done = { outcome: { type: 'done' as const, value: {} } };
  const rotation = await tx.rotation.find(body.tenant);
  // A step of a rotation that has ended, or that another took the place of.
  if (rotation === undefined || rotation.requestId !== body.requestId || rotation.finishedAt !== undefined) return done;
  const { parts, isDone } = rotation.tenant === master ? await rotateRoot(options, tx, rotation) : await rotateTenant(options, tx, rotation);
  await tx.rotation.note(rotation.tenant, parts, now, isDone ? now : undefined);
  if (isDone) options.log.info('crypto.rotation-done', { tenant: rotation.tenant, requestId: rotation.requestId, steps: body.step + 1 });
  return isDone ? done : { ...done, effects: [stepRecord(rotation, body.step + 1)] };
};

export const createOnRotate = (options: OnRotateOptions): Answering<Body, Reply, CryptoTx> => ({
  wire: cryptoToCryptoRotate,
  answer: async (requests, tx, now) => {
    const answers: Answered<Reply>[] = [];
    for (const request of requests) answers.push(await step(options, tx, request, now));
    return answers;
  },
});
