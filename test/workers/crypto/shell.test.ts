/** The room in its shell, on a real broker: what is promised about repeats and crashes. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Bus, Follower } from '../../../src/bus/bus.ts';
import { openEmbeddedBroker, type EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { generateX25519 } from '../../../src/cipher/agreement.ts';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { allToRestAnswer } from '../../../src/messages/all-to-rest.answer.ts';
import { cryptoToDbCertificate } from '../../../src/messages/crypto-to-db.certificate.ts';
import { gatewayToCryptoTlsKey } from '../../../src/messages/gateway-to-crypto.tls-key.ts';
import { decode, encode, type Answer } from '../../../src/messages/grammar/envelope.ts';
import type { Wire } from '../../../src/messages/grammar/wire.ts';
import { wires } from '../../../src/messages/messages.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import { createMemoryAnswerStore, createMemoryParkingLot } from '../../../src/shell/memory-store.ts';
import { runWorker, type RunningWorker } from '../../../src/shell/run-worker.ts';
import type { Probe } from '../../../src/shell/operational.ts';
import type { AnswerStore } from '../../../src/shell/store.ts';
import type { CryptoTx } from '../../../src/workers/crypto/crypto-tx.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { createPostgresKeys } from '../../../src/workers/crypto/postgres-keys.ts';
import { createCryptoWorker } from '../../../src/workers/crypto/worker.ts';
import { startTestServer, type TestServer } from './database.ts';
import { testRootKey } from './room.ts';

const tenant = 'A11CE0000001';
const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

type Site = { readonly broker: EmbeddedBroker; readonly bus: Bus; start(probe?: Probe): Promise<RunningWorker> };

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const memoryAnswers = async (): Promise<AnswerStore<CryptoTx>> => {
  const { makeTx, rollback } = createMemoryKeys();
  return createMemoryAnswerStore(makeTx, rollback);
};

const postgresAnswers = async (): Promise<AnswerStore<CryptoTx>> => {
  const { database } = await server.create();
  return createPostgresAnswerStore({ database, schema: 'crypto', makeTx: createPostgresKeys });
};

/** A broker and a store that outlive the worker. */
const openSite = async (makeAnswers: () => Promise<AnswerStore<CryptoTx>>): Promise<Site> => {
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires), clock: systemClock, log: silentLog });
  const bus = broker.connect();
  opened.push(broker, bus);
  const answers = await makeAnswers();
  const parking = createMemoryParkingLot();
  const start = async (probe?: Probe): Promise<RunningWorker> => {
    const worker = createCryptoWorker({ rootKey: await testRootKey(), log: silentLog });
    const running = runWorker({
      worker, bus, instance: 'crypto-0', clock: systemClock, log: silentLog, metrics: createMetrics(), parking, answers, limits: { stopMsMax: 100 },
      ...(probe === undefined ? {} : { probe }),
    });
    opened.push({ close: () => running.stop() });
    return running;
  };
  return { broker, bus, start };
};

const request = <Body>(wire: Wire<Body, any>, id: string, body: Body) =>
  encode(wire, { key: 'key', id, body, replyTo: { topic: allToRestAnswer.topic, key: 'asker', partition: 0 } });

/** The next messages of a topic, as many as asked. */
const take = async <Body>(follower: Follower, wire: Wire<Body, any>, count: number): Promise<Body[]> => {
  const bodies: Body[] = [];
  while (bodies.length < count) {
    const records = await follower.poll({ timeoutMs: 10_000 });
    if (records.length === 0) throw new Error(`${bodies.length} of ${count} records on ${wire.topic}`);
    for (const record of records) {
      const decoded = decode(wire, record);
      if (decoded.type === 'message') bodies.push(decoded.delivery.body);
    }
  }
  return bodies;
};

const followAnswers = async (bus: Bus): Promise<(count: number) => Promise<Answer[]>> => {
  const follower = bus.follow({ topics: [allToRestAnswer.topic], from: 'earliest' });
  await follower.ready;
  return (count) => take(follower, allToRestAnswer, count);
};

describe.each([
  ['memory', memoryAnswers],
  ['PostgreSQL', postgresAnswers],
] as const)('with keys and answers in %s', (_name, makeAnswers) => {
  test('a repeated request gets the stored answer, although an ECDSA signature is never the same twice', async () => {
    const { bus, start } = await openSite(makeAnswers);
    await start();
    const answers = await followAnswers(bus);
    await bus.publish([request(allToCryptoKey, 'assign', { type: 'assign-hsm', tenant, category: 'LEDGER' })]);
    await answers(1);
    const generate = { type: 'generate', tenant, alias: 'a', category: 'LEDGER', scheme: 'CORDA.ECDSA.SECP256R1' } as const;
    await bus.publish([request(allToCryptoKey, 'generate', generate)]);
    const [made] = await answers(1);
    const { keys } = allToCryptoKey.reply!.parse(made!.outcome.type === 'done' ? made!.outcome.value : undefined);
    const sign = { tenant, keyId: keys[0]!.id, data: toBase64url(utf8('the data')) };
    await bus.publish([request(allToCryptoSign, 'sign-1', sign)]);
    const [first] = await answers(1);
    await bus.publish([request(allToCryptoSign, 'sign-1', sign), request(allToCryptoSign, 'sign-2', sign)]);
    const [repeat, other] = (await answers(2)).toSorted((one, another) => (one.requestId < another.requestId ? -1 : 1));
    expect(repeat).toEqual(first);
    expect(other!.outcome).toMatchObject({ type: 'done' });
    expect(other!.outcome).not.toEqual(first!.outcome);
  });

  test('a crash after the certificate was stored and before it was said does not keep it from db', async () => {
    const { bus, start } = await openSite(makeAnswers);
    const answers = await followAnswers(bus);
    const certificates = bus.follow({ topics: [cryptoToDbCertificate.topic], from: 'earliest' });
    await certificates.ready;
    let crash: (() => void) | undefined;
    const crashed = new Promise<void>((resolve) => {
      crash = resolve;
    });
    // The first worker stands still for ever once the transaction is committed: nothing of that batch is sent.
    await start((point) => (point === 'saved' ? (crash!(), new Promise(() => {})) : undefined));
    const { publicKey } = await generateX25519();
    await bus.publish([request(gatewayToCryptoTlsKey, 'tls', { ephemeralPublicKey: toBase64url(publicKey), wanted: { type: 'own', hostNames: ['localhost'] } })]);
    await crashed;
    await start();
    const [answer] = await answers(1);
    const [certificate] = await take(certificates, cryptoToDbCertificate, 1);
    expect(answer!.outcome).toMatchObject({ type: 'done', value: { certificateChainPem: certificate!.pem } });
  });
});
