/**
 * rest-to-crypto.rotation: begins a rotation, and tells how far it is. on-rotate.ts goes on with it, a step at a time:
 *
 *     begun ── step ── step ── … ── finished
 *
 * - **R1** a key is sealed anew only where it is still sealed as it was read, so that a repeat and a second worker change nothing;
 * - **R2** what sealed a key is kept until nothing is sealed by it, so that whoever reads meanwhile can open what he read;
 * - **R3** a step and the record of the next one are written in one transaction: a crash repeats a step or goes on with the next;
 * - **R4** it is finished when nothing is left, not when a count is reached: keys that are made meanwhile are found.
 */
import { deriveId } from '../../identity/derive.ts';
import { cryptoToCryptoRotate } from '../../messages/crypto-to-crypto.rotate.ts';
import { encode, type Carried, type Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToCryptoRotation } from '../../messages/rest-to-crypto.rotation.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { tenantsPerRotationMax } from './config.ts';
import type { CryptoTx, Rotation, RotationPart, WrappedWrappingKey } from './crypto-tx.ts';
import type { KeyMaking } from './obtain-keys.ts';
import { makeWrappingKey } from './root-key.ts';

type Body = BodyOf<typeof restToCryptoRotation>;
type Reply = ReplyOf<typeof restToCryptoRotation>;

export const master = 'master';

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

export const stepRecord = ({ tenant, requestId }: Pick<Rotation, 'tenant' | 'requestId'>, step: number): OutRecord =>
  encode(cryptoToCryptoRotate, { key: tenant, id: `${requestId}/step/${step}`, body: { tenant, requestId, step } });

const replyOf = ({ requestId, initiatedAt, updatedAt, finishedAt, parts }: Rotation): Reply => ({
  requestId,
  initiatedAt,
  updatedAt,
  isDone: finishedAt !== undefined,
  parts: parts.map(({ name, total, rotated }) => ({ name, total, rotated })),
});

/** What a rotation of the root key has to seal anew, by tenant. */
const masterParts = async ({ roots }: KeyMaking, tx: CryptoTx): Promise<readonly RotationPart[] | Refusal> => {
  const tenants = await tx.rotation.tenants();
  if (tenants.length > tenantsPerRotationMax) return refused('CRYPTO_TOO_MANY_TENANTS', `more than ${tenantsPerRotationMax} tenants`);
  const [root] = roots;
  const known = new Set(roots.map(({ alias }) => alias));
  const totals = new Map<string, number>();
  for (const { tenant, parent } of await tx.wrappingKeys.find(tenants)) {
    if (!known.has(parent)) {
      return refused('CRYPTO_ROOT_KEY_UNKNOWN', `the wrapping key of ${tenant} is sealed by root key "${parent}", which this worker was not given: name its passphrase as CORDAGE_CRYPTO_PASSPHRASE_BEFORE`);
    }
    if (parent !== root.alias) totals.set(tenant, (totals.get(tenant) ?? 0) + 1);
  }
  return [...totals].sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, total]) => ({ name, total, rotated: 0 }));
};

/** The latest generation of each alias: a tenant has one alias, and Corda's status is by alias. */
export const latestOf = (rows: readonly WrappedWrappingKey[]): WrappedWrappingKey[] => {
  const latest = new Map<string, WrappedWrappingKey>();
  for (const row of rows) if (row.generation > (latest.get(row.alias)?.generation ?? 0)) latest.set(row.alias, row);
  return [...latest.values()];
};

/** Gives the tenant a new generation of its wrapping key, and tells what is to be sealed by it. */
const tenantParts = async ({ roots, chance }: KeyMaking, tx: CryptoTx, tenant: string, now: number): Promise<readonly RotationPart[] | Refusal> => {
  const latest = latestOf(await tx.wrappingKeys.find([tenant]));
  if (latest.length === 0) return refused('CRYPTO_TENANT_UNKNOWN', `tenant ${tenant} has no wrapping key`);
  const next = await Promise.all(latest.map(({ alias, generation }) => makeWrappingKey(roots, { tenant, alias, generation: generation + 1 }, chance, now)));
  await tx.wrappingKeys.add(next);
  return Promise.all(next.map(async (ref) => ({ name: ref.alias, total: (await tx.rotation.keysBefore(ref, 1)).count, rotated: 0 })));
};

const start = async (making: KeyMaking, tx: CryptoTx, { body: { tenant }, id }: Carried<Body>, now: number): Promise<Answered<Reply>> => {
  const last = await tx.rotation.find(tenant);
  const underWay = refused('CRYPTO_ROTATION_UNDER_WAY', `a rotation of ${tenant} is under way: GET /wrappingkey/rotation/${tenant} tells how far it is`);
  if (last !== undefined && last.finishedAt === undefined) return { outcome: underWay };
  const parts = tenant === master ? await masterParts(making, tx) : await tenantParts(making, tx, tenant, now);
  if ('type' in parts) return { outcome: parts };
  const rotation: Rotation = { tenant, requestId: deriveId('rotation', id), root: making.roots[0].alias, initiatedAt: now, updatedAt: now, finishedAt: undefined, parts };
  if (!(await tx.rotation.begin(rotation))) return { outcome: underWay };
  return { outcome: { type: 'done', value: replyOf(rotation) }, effects: [stepRecord(rotation, 0)] };
};

const status = async (tx: CryptoTx, tenant: string): Promise<Answered<Reply>> => {
  const rotation = await tx.rotation.find(tenant);
  return { outcome: rotation === undefined ? refused('CRYPTO_ROTATION_UNKNOWN', `no rotation of ${tenant} was ever begun`) : { type: 'done', value: replyOf(rotation) } };
};

export const createOnRotation = (making: KeyMaking): Answering<Body, Reply, CryptoTx> => ({
  wire: restToCryptoRotation,
  answer: async (requests, tx, now) => {
    const answers: Answered<Reply>[] = [];
    for (const request of requests) answers.push(request.body.type === 'start' ? await start(making, tx, request, now) : await status(tx, request.body.tenant));
    return answers;
  },
});
