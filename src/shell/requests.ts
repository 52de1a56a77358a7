/** Requests by rooms without state (rest, gateway): ask on a wire, wait for the answer on one's own partition. */
import type { Outcome } from '../messages/grammar/envelope.ts';
import type { Wire } from '../messages/grammar/wire.ts';

export type Requests = {
  /** Ends in the answer, a typed refusal, or RequestTimeout (thrown); the request may have been done even then. */
  ask<Body, Reply>(wire: Wire<Body, Reply>, request: Ask<Body>): Promise<Outcome<Reply>>;
  close(): Promise<void>;
};

export type Ask<Body> = {
  readonly key: string;
  /** Given where a repeat by the client must be the same request; else drawn. */
  readonly id?: string;
  readonly body: Body;
  readonly timeoutMs?: number;
};

export class RequestTimeout extends Error {
  readonly code = 'REQUEST_TIMEOUT';
  constructor(topic: string, timeoutMs: number) {
    super(`no answer on ${topic} within ${timeoutMs} ms; is the worker that hears it running?`);
    this.name = 'RequestTimeout';
  }
}
