import { createHash, createPublicKey, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { sha256 } from '../../../src/cipher/digest.ts';
import { sign } from '../../../src/cipher/signature.ts';
import type { Receipt } from '../../../src/messages/rest-to-link-manager.receipt.ts';
import { digestOf, judgeReceipt, noReceipts, receiptSigningInput } from '../../../src/workers/link-manager/delivery/delivery.ts';
import { alice, bob, carol, groupId, memberOf } from './cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults, type World } from './two-clusters.ts';

const hourMs = 3_600_000;

let asked = 0;
/** What REST would be told. */
const receiptsOf = async (world: World, before?: number): Promise<Receipt[]> => {
  const body = { groupId, source: alice.name, destination: bob.name, ...(before === undefined ? {} : { before }) };
  const record = { topic: 'rest-to-link-manager.receipt', partition: 0, offset: 0, timestamp: 0, key: 'k', value: '' };
  const id = `asked-${++asked}`;
  const earlier = world.alice.answers.length;
  world.hear('alice', { type: 'receipts-asked', request: { key: 'k', id, body, replyTo: { topic: 'all-to-rest.answer', key: 'rest' }, record } });
  for (;;) {
    // A step that was lost is stepped again a moment later.
    await world.run(1);
    // Written by the answer wire.
    const answers = world.alice.answers.slice(earlier) as { body: { requestId: string; outcome: { value: { receipts: Receipt[] } } } }[];
    const answer = answers.find(({ body: { requestId } }) => requestId === id);
    if (answer !== undefined) return answer.body.outcome.value.receipts;
  }
};

describe('receipts', () => {
  test('are signed by the receiver for what was asked, kept by the sender, and hold before a third party', async () => {
    const world = createWorld({ seed: 90 });
    world.send('alice', 'plain');
    world.send('alice', 'important', { receipt: true, payload: 'the words' });
    await world.run(5_000);
    expect(deliveredTo(world.bob)).toEqual(['plain', 'important']);
    const [receipt, ...more] = await receiptsOf(world);
    expect(more).toEqual([]);
    expect(receipt).toMatchObject({ number: 1, messageId: 'important', digest: digestOf('the words'), keyHash: toBase64url(sha256(bob.keys.publicKey)) });
    // As the document says, with nothing of ours.
    const u32 = (value: number): Buffer => { const out = Buffer.alloc(4); out.writeUInt32BE(value); return out; };
    const bytes = (value: Buffer): Buffer => Buffer.concat([u32(value.length), value]);
    const text = (value: string): Buffer => bytes(Buffer.from(value));
    const at = Buffer.alloc(8);
    at.writeBigUInt64BE(BigInt(receipt!.receivedAt));
    const statement = Buffer.concat([
      Buffer.from([0, 1]), text(groupId), text(bob.name), text(alice.name), text('important'),
      bytes(createHash('sha256').update('the words').digest()), at, bytes(Buffer.from(receipt!.keyHash, 'base64url')),
    ]);
    const signed = Buffer.concat([Buffer.alloc(64, 0x20), Buffer.from('Cordage session, receipt'), Buffer.from([0]), createHash('sha256').update(statement).digest()]);
    const key = createPublicKey({ key: Buffer.from(receipt!.publicKey, 'base64url'), format: 'der', type: 'spki' });
    expect(verify(null, signed, key, Buffer.from(receipt!.signature, 'base64url'))).toBe(true);
    expect([world.alice.head!.receipts.awaited, world.bob.head!.receipts.owed, world.bob.items.size]).toEqual([[], [], 0]);
  });

  test('come once for each message through losses, repeats and crashes, and no message is lost beside them', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const world = createWorld({ seed, faults: { drop: 0.3, double: 0.3, delayMs: 1_000, lostStep: 0.2, crash: 0.2 }, limits: { receiptsOwedMax: 2, windowMessages: 8, cachedMessagesMax: 16 } });
      const ids = Array.from({ length: 20 }, (_, i) => `m${i}`);
      for (const id of ids) {
        world.send('alice', id, { receipt: true });
        await world.run(100);
      }
      world.send('bob', 'back');
      await world.run(2 * hourMs);
      expect(deliveredTo(world.bob), `seed ${seed}`).toEqual(ids);
      expect(deliveredTo(world.alice)).toEqual(['back']);
      const receipts = await receiptsOf(world);
      expect(receipts.map(({ messageId }) => messageId).toSorted(), `seed ${seed}`).toEqual(ids.toSorted());
      expect([world.alice.dueAt, world.bob.dueAt]).toEqual([undefined, undefined]);
    }
  });

  test('of a pair are kept up to a bound, the newest, and read page by page', async () => {
    const world = createWorld({ seed: 91, limits: { receiptsKeptMax: 120 } });
    for (let i = 1; i <= 150; i++) {
      world.send('alice', `m${i}`, { receipt: true });
      if (i % 40 === 0) await world.run(2_000);
    }
    await world.run(60_000);
    const [first, second] = [await receiptsOf(world), await receiptsOf(world, 51)];
    expect(first.map(({ number }) => number)).toEqual(Array.from({ length: 100 }, (_, i) => 150 - i));
    expect(second.map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, i) => 50 - i));
    expect(await receiptsOf(world, 31)).toEqual([]);
    expect([...world.alice.items.keys()]).toHaveLength(120);
  });

  test('are read beside a long backlog, which goes on', async () => {
    const world = createWorld({ seed: 92, limits: { windowMessages: 4, cachedMessagesMax: 8 } });
    world.send('alice', 'signed for', { receipt: true });
    await world.run(5_000);
    world.faults = { ...noFaults, drop: 1 };
    for (let i = 0; i < 60; i++) world.send('alice', `m${i}`);
    await world.run(1_000);
    world.loseMemory('alice');
    expect((await receiptsOf(world)).map(({ messageId }) => messageId)).toEqual(['signed for']);
    world.faults = noFaults;
    await world.run(200_000);
    expect(deliveredTo(world.bob)).toHaveLength(61);
  });

  test('that are awaited are bounded: a further message is refused to its sender; what is never received is awaited no more', async () => {
    const world = createWorld({ seed: 93, limits: { receiptsAwaitedMax: 3 }, faults: { ...noFaults, drop: 1 } });
    for (const id of ['a', 'b', 'c', 'd']) world.send('alice', id, { receipt: true, ttlMs: 5_000 });
    await world.run(1_000);
    expect(world.alice.received.map(({ messageId }) => messageId)).toEqual(['d']);
    await world.run(20_000);
    expect(world.alice.received.map(({ messageId }) => messageId).toSorted()).toEqual(['a', 'b', 'c', 'd']);
    expect(world.alice.head!.receipts.awaited).toEqual([]);
  });

  test('that wait for crypto are bounded: further messages wait too, and come when it signs again', async () => {
    const world = createWorld({ seed: 95, limits: { receiptsOwedMax: 3 } });
    world.send('alice', 'first');
    await world.run(1_000);
    const { answerSign } = world.bob.cluster;
    Object.assign(world.bob.cluster, { answerSign: () => Promise.resolve({ requestId: 'lost', outcome: { type: 'refused', code: 'X', message: 'x' } }) });
    for (let i = 0; i < 10; i++) world.send('alice', `m${i}`, { receipt: true });
    await world.run(5_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'm0', 'm1', 'm2']);
    expect(world.bob.head!.receipts.owed).toHaveLength(3);
    Object.assign(world.bob.cluster, { answerSign });
    await world.run(200_000);
    expect(deliveredTo(world.bob)).toHaveLength(11);
    // What crypto lost was asked for again.
    expect(await receiptsOf(world)).toHaveLength(10);
  });

  test('that crypto does not sign cost nothing but themselves', async () => {
    const world = createWorld({ seed: 94 });
    world.send('alice', 'first');
    await world.run(1_000);
    Object.assign(world.bob.cluster, { answerSign: () => Promise.resolve({ requestId: 'none', outcome: { type: 'refused', code: 'X', message: 'x' } }) });
    world.send('alice', 'm', { receipt: true });
    world.send('alice', 'n');
    await world.run(5_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'm', 'n']);
    expect(world.bob.head!.receipts.owed).toHaveLength(1);
    expect(await receiptsOf(world)).toEqual([]);
  });
});

describe('a receipt is worth nothing', async () => {
  const parties = { groupId, receiver: bob.name, sender: alice.name };
  const keyOf = (party: typeof bob) => ({ hash: toBase64url(sha256(party.keys.publicKey)), publicKey: toBase64url(party.keys.publicKey), spec: 'EdDSA' });
  const stated = { messageId: 'm', digest: digestOf('words'), receivedAt: 5, keyHash: keyOf(bob).hash };
  const signedBy = async (party: typeof bob, over = parties) =>
    toBase64url(await sign({ scheme: 'CORDA.EDDSA.ED25519', spec: 'EdDSA', privateKey: party.keys.privateKey, data: receiptSigningInput(over, stated) }));
  const receipts = { ...noReceipts, awaited: [{ messageId: 'm', digest: digestOf('words'), until: 10 }] };
  const judge = (payload: object | string, context: Partial<Parameters<typeof judgeReceipt>[1]> = {}) =>
    judgeReceipt(typeof payload === 'string' ? payload : JSON.stringify({ v: 1, ...payload }), { receipts, parties, peerKeys: [keyOf(bob)], ...context });
  const good = { ...stated, signature: await signedBy(bob) };

  test('only when something is wrong with it', async () => {
    expect(await judge(good)).toMatchObject({ type: 'receipt', messageId: 'm' });
    expect(memberOf(bob).sessionKeys[0]!.publicKey).toBe(keyOf(bob).publicKey);
  });

  test.each([
    ['text that is none', 'nonsense', {}, /cannot be read/],
    ['more than its fields', { ...good, more: 1 }, {}, /cannot be read/],
    ['a message that nobody sent', { ...good, messageId: 'other' }, {}, /nobody waits/],
    ['other words', { ...good, digest: digestOf('other words') }, {}, /another content/],
    ['a key that is not registered', good, { peerKeys: [keyOf(carol)] }, /not registered/],
    ['another time', { ...good, receivedAt: 6 }, {}, /signature is wrong/],
    ['another signer', { ...stated, signature: await signedBy(carol) }, {}, /signature is wrong/],
    ['another group', { ...stated, signature: await signedBy(bob, { ...parties, groupId: 'other' }) }, {}, /signature is wrong/],
    ['a signature of nothing', { ...stated, signature: toBase64url(utf8('x')) }, {}, /signature is wrong/],
  ])('with %s', async (_name, payload, context, reason) => {
    expect(await judge(payload, context)).toMatch(reason);
  });
});
