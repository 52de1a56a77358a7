/** The crypto room without its shell: requests go through the wires' own codec, everything it says is kept. */
import { createLog } from '../../../src/observability/log.ts';
import { decode, encode, type Delivery, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { Wire } from '../../../src/messages/grammar/wire.ts';
import type { Answered, Answering } from '../../../src/shell/worker.ts';
import type { CryptoTx } from '../../../src/workers/crypto/crypto-tx.ts';
import { deriveRootKey, type RootKey } from '../../../src/workers/crypto/root-key.ts';
import { createCryptoWorker, type CryptoDeps } from '../../../src/workers/crypto/worker.ts';
import type { Keys } from './keys-contract.ts';

/** One round: these tests have nothing to hide. */
export const testRootKey = (passphrase = 'a test passphrase'): Promise<RootKey> => deriveRootKey({ passphrase, salt: 'a test salt', iterations: 1 });

export type Room = {
  /** Asks in one batch. */
  ask<Body, Reply>(wire: Wire<Body, Reply>, bodies: readonly Body[]): Promise<Outcome<Reply>[]>;
  /** What a single request gives, which must be done. */
  value<Body, Reply>(wire: Wire<Body, Reply>, body: Body): Promise<Reply>;
  /** The code that a single request is refused with. */
  refusal<Body, Reply>(wire: Wire<Body, Reply>, body: Body): Promise<string>;
  readonly effects: OutRecord[];
  /** All that left the room, as text: answers, effects, log lines. */
  readonly said: string[];
  close(): Promise<void>;
};

const deliveryOf = <Body>(wire: Wire<Body, any>, body: Body, i: number): Delivery<Body> => {
  const record = { ...encode(wire, { key: 'key', id: `request-${i}`, body }), partition: 0, offset: i, timestamp: 0 };
  const decoded = decode(wire, record);
  if (decoded.type !== 'message') throw new Error(JSON.stringify(decoded));
  return decoded.delivery;
};

export type RoomOptions = Partial<CryptoDeps> & { readonly keys: Keys; readonly now?: () => number };

export const openRoom = async ({ keys, now = () => Date.UTC(2026, 0, 1), ...deps }: RoomOptions): Promise<Room> => {
  const said: string[] = [];
  const effects: OutRecord[] = [];
  const log = createLog({ level: 'debug', write: (line) => said.push(line) });
  const worker = createCryptoWorker({ rootKey: await testRootKey(), log, ...deps });
  let count = 0;
  const ask = async <Body, Reply>(wire: Wire<Body, Reply>, bodies: readonly Body[]): Promise<Outcome<Reply>[]> => {
    const answering = worker.answers!.find((one) => one.wire.topic === wire.topic) as Answering<Body, Reply, CryptoTx>;
    const deliveries = bodies.map((body) => deliveryOf(wire, body, count++));
    const answered: readonly Answered<Reply>[] = await keys.transact((tx) => answering.answer(deliveries, tx, now()));
    for (const { outcome, effects: more = [] } of answered) {
      said.push(JSON.stringify(outcome), ...more.map(({ value }) => value));
      effects.push(...more);
      if (outcome.type === 'done') wire.reply!.parse(outcome.value);
    }
    return answered.map(({ outcome }) => outcome);
  };
  return {
    ask,
    value: async (wire, body) => {
      const [outcome] = await ask(wire, [body]);
      if (outcome?.type !== 'done') throw new Error(JSON.stringify(outcome));
      return outcome.value;
    },
    refusal: async (wire, body) => {
      const [outcome] = await ask(wire, [body]);
      return outcome?.type === 'refused' ? outcome.code : 'done';
    },
    effects,
    said,
    close: async () => worker.close?.(),
  };
};
