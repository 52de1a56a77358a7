/** Where places of a bundle stand in its author's sources, by the source map of its CPK. */
import { concat, fromBase64url, textOf } from '../../cipher/bytes.ts';
import { readSourceMap } from '../../packaging/source-map.ts';
import type { SourceMap } from '../../packaging/source-map.ts';
import type { View } from '../../shell/view.ts';
import type { CpkChunk } from './facts.ts';
import type { Where } from './sandbox/sandbox.ts';

export type Places = {
  /** As an author reads them, innermost first: `src/order.ts:41:7`, or a place of the bundle where its CPK has no map for it. */
  locate(cpkHash: string, where: Where): readonly string[];
};

/** Maps held ready: one is a table of some MiB, made when a flow of its CPK fails. */
const mapsMax = 8;

export const createPlaces = (cpks: View<CpkChunk>): Places => {
  /** Longest unused first; a CPK without a readable map is remembered as well. */
  const maps = new Map<string, SourceMap | undefined>();
  const mapOf = (cpkHash: string): SourceMap | undefined => {
    const map = maps.has(cpkHash) ? maps.get(cpkHash) : readMap(cpkHash, cpks);
    maps.delete(cpkHash);
    maps.set(cpkHash, map);
    for (const oldest of maps.keys()) if (maps.size > mapsMax) maps.delete(oldest);
    return map;
  };
  return {
    locate: (cpkHash, where) => {
      if (where.length === 0) return [];
      const map = mapOf(cpkHash);
      return where.map((position) => map?.locate(position) ?? `bundle.js:${position.line}:${position.column}`);
    },
  };
};

const readMap = (cpkHash: string, cpks: View<CpkChunk>): SourceMap | undefined => {
  const count = cpks.get(`${cpkHash}/0`)?.sourceMapCount ?? 0;
  const parts: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const chunk = cpks.get(`${cpkHash}/map/${index}`);
    if (chunk === undefined) return undefined;
    parts.push(fromBase64url(chunk.bytes));
  }
  return count === 0 ? undefined : readSourceMap(textOf(concat(...parts)));
};
