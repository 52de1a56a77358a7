/** The network between the two gateways: each request may be lost, doubled, delayed and overtaken. */
import type { Random } from './random.ts';

export type NetworkFaults = { readonly requestLost: number; readonly answerLost: number; readonly doubled: number; readonly corrupted: number };

export type SimNetwork = {
  /** Sends a request; settles when the scheduler lets it. */
  post(url: string, body: string): Promise<{ status: number }>;
  /** Names who answers under this origin. */
  attach(origin: string, answer: (body: string) => Promise<{ status: number }>): void;
  inFlight(): number;
  /** Lets one request go its way, chosen by chance. */
  deliverOne(): Promise<void>;
};

type Flight = { readonly origin: string; readonly body: string; readonly settle: (result: { status: number }) => void; readonly fail: (error: Error) => void };

const flipOneCharacter = (body: string, random: Random): string => {
  const at = random.below(body.length);
  return body.slice(0, at) + String.fromCharCode((body.charCodeAt(at) ^ (1 + random.below(7))) & 0x7f) + body.slice(at + 1);
};

export const createSimNetwork = (random: Random, faults: NetworkFaults): SimNetwork => {
  const answers = new Map<string, (body: string) => Promise<{ status: number }>>();
  const flights: Flight[] = [];
  const deliver = async ({ origin, body, settle, fail }: Flight): Promise<void> => {
    if (random.chance(faults.requestLost)) return fail(new Error('simulated: connection reset'));
    const answer = answers.get(origin);
    if (answer === undefined) return fail(new Error(`simulated: nobody listens at ${origin}`));
    const sent = random.chance(faults.corrupted) ? flipOneCharacter(body, random) : body;
    if (random.chance(faults.doubled)) await answer(sent);
    const result = await answer(sent);
    if (random.chance(faults.answerLost)) return fail(new Error('simulated: the answer was lost'));
    settle(result);
  };
  return {
    post: (url, body) =>
      new Promise((settle, fail) => {
        flights.push({ origin: new URL(url).origin, body, settle, fail });
      }),
    attach: (origin, answer) => void answers.set(origin, answer),
    inFlight: () => flights.length,
    deliverOne: async () => {
      const [flight] = flights.splice(random.below(flights.length), 1);
      if (flight !== undefined) await deliver(flight);
    },
  };
};
