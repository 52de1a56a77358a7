/** Places of a bundle in its author's files. */
import { SourceMap } from 'node:module';
import { mkdtempSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { packageLimits } from '../../src/packaging/config.ts';
import { readSourceMap } from '../../src/packaging/source-map.ts';

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const vlq = (value: number): string => {
  let rest = value < 0 ? -value * 2 + 1 : value * 2;
  let text = '';
  do {
    text += digits[(rest % 32) + (rest >= 32 ? 32 : 0)];
    rest = Math.floor(rest / 32);
  } while (rest > 0);
  return text;
};

type Segment = readonly [column: number, source: number, line: number, sourceColumn: number];
const sources = ['src/a.ts', 'src/b.ts', '@cordage/flow-sdk/flow.ts'];
const segment: fc.Arbitrary<Segment> = fc.tuple(fc.nat(5_000), fc.nat(sources.length - 1), fc.nat(3_000), fc.nat(300));
const lines = fc.array(fc.uniqueArray(segment, { maxLength: 12, selector: ([column]) => column }), { maxLength: 6 });

const mapOf = (written: readonly (readonly Segment[])[]): string => {
  let before = [0, 0, 0];
  const mappings = written.map((line) => {
    let column = 0;
    const parts = [...line].sort(([a], [b]) => a - b).map(([at, ...rest]) => {
      const text = vlq(at - column) + rest.map((value, i) => vlq(value - before[i]!)).join('');
      [column, before] = [at, rest];
      return text;
    });
    return parts.join(',');
  });
  return JSON.stringify({ version: 3, sources, names: [], mappings: mappings.join(';') });
};

describe('a source map', () => {
  test('says the same of every place as another reader of source maps', () => {
    fc.assert(
      fc.property(lines, fc.array(fc.tuple(fc.nat(6), fc.nat(6_000)), { minLength: 1, maxLength: 20 }), (written, places) => {
        const text = mapOf(written);
        const ours = readSourceMap(text)!;
        const theirs = new SourceMap(JSON.parse(text) as ConstructorParameters<typeof SourceMap>[0]);
        for (const [line, column] of places) {
          const entry = theirs.findEntry(line, column);
          // Node goes back to an earlier line where this one has nothing before the column.
          const expected = 'originalSource' in entry && entry.generatedLine === line ? `${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}` : undefined;
          expect(ours.locate({ line: line + 1, column: column + 1 })).toBe(expected);
        }
      }),
    );
  });

  test('that is none is refused, whatever it holds', () => {
    const base = { version: 3, sources, names: [], mappings: 'AAAA' };
    expect(readSourceMap(JSON.stringify(base))).toBeDefined();
    const wrong = ['', '{', '[]', 'null', ...[{ ...base, version: 2 }, { ...base, sources: 'x' }, { ...base, mappings: 'AA' }, { ...base, mappings: 'A!' }, { ...base, mappings: 'AAAg' }, { ...base, mappings: 'gggggggggA' }].map((one) => JSON.stringify(one))];
    expect(wrong.map(readSourceMap)).toEqual(wrong.map(() => undefined));
    expect(readSourceMap(JSON.stringify({ ...base, mappings: 'A'.repeat(packageLimits.mappingsCharsMax + 1) }))).toBeUndefined();
    fc.assert(fc.property(fc.string(), (mappings) => void readSourceMap(JSON.stringify({ ...base, mappings }))?.locate({ line: 1, column: 1 })));
  });

  test('of a bundle names the files of the project and of the SDK, the same wherever they lie', async () => {
    const build = async (): Promise<{ text: string; code: string }> => {
      const directory = mkdtempSync(join(tmpdir(), 'cordage-map-'));
      mkdirSync(join(directory, 'src'));
      writeFileSync(join(directory, 'src', 'app.ts'), "import { startableFlow } from '@cordage/flow-sdk';\n\nexport const flow = startableFlow({\n  name: 'test.Throw',\n  run: async () => {\n    throw new Error('needle');\n  },\n});\n");
      const { code, sourceMap } = await bundleProject({ directory, entry: join(directory, 'src', 'app.ts'), name: 'app', version: '1' });
      return { text: new TextDecoder().decode(sourceMap), code: new TextDecoder().decode(code) };
    };
    const [one, other] = await Promise.all([build(), build()]);
    expect(other).toEqual(one);
    const { sources: named } = JSON.parse(one.text) as { sources: string[] };
    expect(named).toContain('src/app.ts');
    expect(named.filter((name) => name.startsWith('..') || name.startsWith('/'))).toEqual([]);
    const before = one.code.slice(0, one.code.indexOf('new Error("needle")'));
    const line = before.split('\n').length;
    const column = before.length - before.lastIndexOf('\n');
    expect(readSourceMap(one.text)!.locate({ line, column })).toBe('src/app.ts:6:11');
  });
});
