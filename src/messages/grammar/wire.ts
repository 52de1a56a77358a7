/**
 * The grammar of a wire: what one room may say to another, and how it is written on the bus.
 *
 * A wire is one file, `src/messages/<from>-to-<to>.<message>.ts`, and its topic is that file's name. It is heard in
 * `src/workers/<to>/on-<message>.ts`. Access lists, topics and the wiring table are derived from these values.
 */
import type * as z from 'zod';

export const rooms = ['rest', 'flow', 'db', 'crypto', 'member', 'link-manager', 'gateway'] as const;
export type Room = (typeof rooms)[number];

/** `log`: every record is delivered once to each hearing room. `compacted`: the latest record of a key stays readable. */
export type Retention = 'log' | 'compacted';

export type Wire<Body = unknown, Reply = unknown> = {
  /** The file's name without `.ts`, and the Kafka topic (before any prefix). */
  readonly topic: string;
  readonly from: readonly Room[];
  readonly to: readonly Room[];
  /** What the record key is, in words; equal keys keep their order. */
  readonly key: string;
  readonly retention: Retention;
  /** Version of the body. A reader accepts this version and the one before it. */
  readonly version: number;
  readonly body: z.ZodType<Body>;
  /** Present when the wire is a request: the shape of the value that a `done` answer carries. */
  readonly reply?: z.ZodType<Reply>;
};

/** A protocol spoken outside the bus (HTTP, or sealed inside a packet): listed with the wires so that `ls` shows it. */
export type PeerProtocol = {
  readonly name: string;
  readonly from: Room | 'client';
  readonly to: Room;
  readonly version: number;
};

/** Declares a wire; the types of body and reply are those of the schemas. */
export const wire = <Body, Reply = never>(declaration: Wire<Body, Reply>): Wire<Body, Reply> => declaration;

export type BodyOf<W> = W extends Wire<infer Body, infer _Reply> ? Body : never;
export type ReplyOf<W> = W extends Wire<infer _Body, infer Reply> ? Reply : never;
