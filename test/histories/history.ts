/**
 * A history: what flows did once, with the code that did it. It is written once, by `record.ts`, and never edited: for ever after,
 * this code over these journals must do the same.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FlowHead } from '../../src/workers/flow/engine/head.ts';
import type { Stored } from '../../src/workers/flow/engine/journal.ts';

export type History = {
  readonly v: 1;
  readonly name: string;
  readonly about: string;
  /** SHA-256 of `bundle`, in hex. */
  readonly bundleHash: string;
  /** The application with the SDK that it was built with: one script. */
  readonly bundle: string;
  /** TypeScript of the application, by file. */
  readonly sources: Readonly<Record<string, string>>;
  readonly flows: readonly RecordedFlow[];
  /** SHA-256 of all that stands above, in hex. */
  readonly digest: string;
};

export type RecordedFlow = {
  readonly member: string;
  readonly head: FlowHead;
  readonly items: readonly Stored[];
};

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
export const bundleHashOf = sha256;
export const digestOf = (history: Omit<History, 'digest'>): string => sha256(JSON.stringify({ ...history, digest: undefined }));

export const pathOf = (name: string): string => fileURLToPath(new URL(`${name}.json`, import.meta.url));
export const flowsDirectory = fileURLToPath(new URL('flows/', import.meta.url));

// Written by `record.ts`, and checked by what the test makes of it.
export const readHistory = (name: string): History => JSON.parse(readFileSync(pathOf(name), 'utf8')) as History;
