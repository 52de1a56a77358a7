import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { concat, utf8 } from '../../../src/cipher/bytes.ts';
import { parseBasic } from '../../../src/workers/rest/auth/basic.ts';
import { restLimits } from '../../../src/workers/rest/config.ts';
import { integerOr, optionalText, shortHash, texts } from '../../../src/workers/rest/parameter.ts';
import { parseStrictJson } from '../../../src/workers/rest/parsing/json.ts';
import { boundaryOf, createMultipartReader } from '../../../src/workers/rest/parsing/multipart.ts';
import { readForm, readJson, readPath, readQuery, readShape } from '../../../src/workers/rest/parsing/parsing.ts';
import { acceptsJson, namesJson } from '../../../src/workers/rest/response.ts';
import { formBody, jsonBody } from '../../../src/workers/rest/routing/routing.ts';
import { createPathTree } from '../../../src/workers/rest/routing/path-tree.ts';

const depthMax = 50;

/** JSON text with a key repeated somewhere: made by hand, since no object has one. */
const repeatedKey = fc
  .record({ key: fc.string(), before: fc.jsonValue({ maxDepth: 2 }), after: fc.jsonValue({ maxDepth: 2 }), around: fc.array(fc.constantFrom('[', '{'), { maxLength: 5 }), escape: fc.boolean() })
  .map(({ key, before, after, around, escape }) => {
    const spelt = JSON.stringify(key);
    const escaped = `"${[...Array(key.length).keys()].map((i) => `\\u${key.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;
    const object = `{${spelt}:${JSON.stringify(before)}, ${escape ? escaped : spelt} : ${JSON.stringify(after)}}`;
    return around.reduce((inner, open) => (open === '[' ? `[1,${inner}]` : `{"around":${inner}}`), object);
  });

describe('strict JSON', () => {
  test('reads every JSON value as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), fc.constantFrom(undefined, 2), (text, indent) => {
        const value = JSON.parse(text) as unknown;
        expect(parseStrictJson(JSON.stringify(value, null, indent), depthMax)).toEqual({ type: 'json', value });
      }),
    );
  });

  test('refuses a key that stands twice, however spelt and wherever', () => {
    fc.assert(
      fc.property(repeatedKey, (text) => {
        expect(parseStrictJson(text, depthMax)).toMatchObject({ type: 'malformed', reason: expect.stringContaining('twice') });
      }),
    );
  });

  test('lets equal keys stand in different objects', () => {
    expect(parseStrictJson('{"a":{"a":1},"b":[{"a":1},{"a":2}],"c":"a\\"a","d":["a","a"]}', depthMax).type).toBe('json');
  });

  test('never throws, and reads nothing that JSON.parse does not', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.array(fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '1', ' '), { maxLength: 30 }).map((parts) => parts.join(''))), (text) => {
        let parses = true;
        try {
          JSON.parse(text);
        } catch {
          parses = false;
        }
        const { type } = parseStrictJson(text, depthMax);
        if (!parses) expect(type).toBe('malformed');
      }),
    );
  });

  test.each([50, 51, 100_000])('bounds nesting: %d', (depth) => {
    expect(parseStrictJson('['.repeat(depth) + ']'.repeat(depth), 50).type).toBe(depth <= 50 ? 'json' : 'malformed');
  });
});

describe('the two shapes of a body', () => {
  const schema = z.object({ name: z.string(), more: z.unknown().optional() });
  const body = jsonBody('request', schema);
  const objects = fc.record({ name: fc.string(), more: fc.jsonValue({ maxDepth: 2 }) });

  test('mean the same', () => {
    fc.assert(
      fc.property(objects, (value) => {
        const flat = readShape(body, value);
        expect(flat).toMatchObject({ type: 'parsed' });
        expect(readShape(body, { request: value })).toEqual(flat);
      }),
    );
  });

  test('can be told apart where the object has a property of the parameter’s name', () => {
    const reason = jsonBody('reason', z.object({ reason: z.string() }));
    expect(readShape(reason, { reason: 'x' })).toEqual({ type: 'parsed', value: { reason: 'x' } });
    expect(readShape(reason, { reason: { reason: 'x' } })).toEqual({ type: 'parsed', value: { reason: 'x' } });
  });

  test('can be told apart where every property is optional', () => {
    const loose = jsonBody('request', z.object({ name: z.string().optional() }));
    expect(readShape(loose, { request: { name: 'x' } })).toEqual({ type: 'parsed', value: { name: 'x' } });
  });

  test('are refused, never thrown at, when neither fits', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void expect(['parsed', 'refused']).toContain(readShape(jsonBody('request', z.object({ never: z.literal('possible') })), value).type)));
  });

  test('with a key that objects inherit are data', () => {
    const map = jsonBody('request', z.object({ context: z.record(z.string(), z.string()) }));
    const value = JSON.parse('{"context":{"__proto__":"a","constructor":"b"}}') as unknown;
    const read = readShape(map, value);
    expect(read.type).toBe('parsed');
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });
});

describe('JSON bodies', () => {
  const body = jsonBody('request', z.object({ a: z.unknown() }));

  test('are read or refused, whatever the bytes, the type and the pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), fc.constantFrom('application/json', 'text/plain', ';', ''), async (pieces, type) => {
        const stream = new ReadableStream<Uint8Array>({
          start: (controller) => {
            for (const piece of pieces) controller.enqueue(piece);
            controller.close();
          },
        });
        const request = new Request('http://x/', { method: 'POST', body: stream, duplex: 'half', headers: { 'content-type': type } } as RequestInit);
        expect(['parsed', 'refused']).toContain((await readJson(body, request, restLimits)).type);
      }),
    );
  });
});

describe('Basic', () => {
  const plain = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((text) => !/\p{Cc}/u.test(text) && text.isWellFormed());
  const headerOf = (text: string): string => `Basic ${btoa(String.fromCharCode(...utf8(text)))}`;

  test('reads back every login and password', () => {
    fc.assert(
      fc.property(
        plain.filter((login) => login !== '' && !login.includes(':')),
        plain,
        (login, password) => {
          expect(parseBasic(headerOf(`${login}:${password}`), 10_000)).toEqual({ login, password });
        },
      ),
    );
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String().map((token) => `Basic ${token}`), fc.uint8Array().map((bytes) => `basic ${btoa(String.fromCharCode(...bytes))}`)), (header) => {
        const read = parseBasic(header, 1_000);
        if (read !== undefined) expect(read.login).not.toBe('');
      }),
    );
  });
});

describe('multipart', () => {
  const bounds = { partsMax: 20, headBytesMax: 1_000 };
  const fieldNames = fc.string({ unit: fc.constantFrom('a', 'b', '"', '\\', ' ', ';', '=', 'é'), minLength: 1, maxLength: 10 });
  /** Contents that look like boundaries, nearly. */
  const contents = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.array(fc.constantFrom('\r\n', '\r', '\n', '--', '--b', '\r\n--', '\r\n-', 'x'), { maxLength: 20 }).map((parts) => utf8(parts.join('').replaceAll('\r\n--b', 'x'))));
  const forms = fc.array(fc.record({ name: fieldNames, content: contents }), { maxLength: 6 });

  const indexOf = (bytes: Uint8Array, wanted: string): number => new TextDecoder('latin1').decode(bytes).indexOf(wanted);
  const encodeForm = (parts: readonly { name: string; content: Uint8Array }[]): Uint8Array =>
    concat(
      utf8('preamble that nobody reads'),
      ...parts.map(({ name, content }) => concat(utf8(`\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name="${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"\r\n\r\n`), content)),
      utf8('\r\n--b--\r\nepilogue'),
    );
  /** Cuts the bytes at these places, so that every boundary is once torn apart. */
  const cut = (bytes: Uint8Array, places: readonly number[]): Uint8Array[] => {
    const at = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
    return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
  };

  test('reads back every form, however its bytes are cut', () => {
    fc.assert(
      fc.property(forms, fc.array(fc.nat(), { maxLength: 30 }), (form, places) => {
        fc.pre(form.every(({ content }) => indexOf(content, '\r\n--b') < 0));
        const reader = createMultipartReader('b', bounds);
        for (const piece of cut(encodeForm(form), places)) expect(reader.push(piece)).toBeUndefined();
        const ended = reader.end();
        expect(ended.type).toBe('parts');
        if (ended.type === 'parts') expect(ended.parts.map(({ name, pieces }) => ({ name, content: concat(...pieces) }))).toEqual(form.map(({ name, content }) => ({ name, content: concat(content) })));
      }),
      { numRuns: 300 },
    );
  });

  test('reads what the platform’s FormData writes', async () => {
    const form = new FormData();
    form.append('alias', 'p2p-tls-cert');
    form.append('certificate', new Blob(['one\r\n--two']), 'wéird "name".pem');
    const request = new Request('http://x/', { method: 'PUT', body: form });
    const read = await readForm(formBody({ alias: 'text', certificate: 'files' }, 'certificateBytesMax'), request, restLimits);
    expect(read).toMatchObject({ type: 'parsed', value: { alias: 'p2p-tls-cert', certificate: [{ length: 10 }] } });
  });

  test('never throws, and ends only after a closing boundary', () => {
    const noise = fc.array(fc.constantFrom('\r\n', '--b', '--b--', '\r\n--b\r\n', 'Content-Disposition: form-data; name="a"', '\r\n\r\n', ' ', 'x', '--'), { maxLength: 25 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(noise, fc.array(fc.nat(), { maxLength: 5 }), (text, places) => {
        const reader = createMultipartReader('b', bounds);
        const faults = cut(utf8(text), places).map((piece) => reader.push(piece)).filter((fault) => fault !== undefined);
        if (faults.length === 0 && reader.end().type === 'parts') expect(text).toContain('--b--');
      }),
    );
  });

  test('bounds the number of parts', () => {
    const reader = createMultipartReader('b', { ...bounds, partsMax: 2 });
    const form = encodeForm(Array.from({ length: 3 }, (_, i) => ({ name: `n${i}`, content: utf8('x') })));
    expect(reader.push(form)).toContain('more than 2 parts');
  });

  test.each([
    ['multipart/form-data; boundary=abc', 'abc'],
    ['multipart/form-data; charset=utf-8; boundary="a b"', 'a b'],
    ['multipart/form-data; boundary="ends with space "', undefined],
    ['multipart/form-data; boundary=ä', undefined],
    ['multipart/form-data', undefined],
  ])('reads the boundary of %s', (type, boundary) => {
    expect(boundaryOf(type)).toBe(boundary);
  });
});

describe('parameters', () => {
  const declared = { count: integerOr(5, { min: 0, max: 10 }), word: optionalText(), words: texts({ schema: z.string(), countMax: 3, nullable: true }) };

  test('are read from any query without a throw', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.webQueryParameters()), (search) => void expect(['parsed', 'refused']).toContain(readQuery(declared, search).type)));
  });

  test('are read back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 }), fc.string(), fc.array(fc.string(), { maxLength: 3 }), (count, word, words) => {
        fc.pre(word.isWellFormed() && words.every((one) => one.isWellFormed()));
        const search = new URLSearchParams([['COUNT', String(count)], ['word', word], ...words.map((one) => ['words', one])]).toString();
        expect(readQuery(declared, search)).toEqual({ type: 'parsed', value: { count, word, words } });
      }),
    );
  });

  test.each(['count=11', 'count=-1', 'count=1.5', 'count=0x1', 'count=', 'count=1&count=1', 'word=a&WORD=b', 'words=1&words=2&words=3&words=4'])('are refused: %s', (search) => {
    expect(readQuery(declared, search).type).toBe('refused');
  });

  test('of a path are decoded, or refused', () => {
    fc.assert(fc.property(fc.string(), (segment) => void expect(['parsed', 'refused']).toContain(readPath({ hash: shortHash }, { hash: segment }).type)));
    expect(readPath({ hash: shortHash }, { hash: 'abcdef%3012345' })).toEqual({ type: 'parsed', value: { hash: 'ABCDEF012345' } });
  });
});

describe('Accept', () => {
  test('is judged without a throw', () => {
    fc.assert(
      fc.property(fc.string(), (accept) => {
        if (namesJson(accept)) expect(acceptsJson(accept)).toBe(true);
      }),
    );
  });
});

describe('the tree of paths', () => {
  const segment = fc.constantFrom('a', 'b', 'Ab', '{x}', '{y}');
  const template = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join('/')}`);

  test('finds a template for every path that fits one, and says so only then', () => {
    fc.assert(
      fc.property(fc.uniqueArray(template, { maxLength: 10, selector: (path) => path.toLowerCase().replace(/\{.\}/g, '{}') }), fc.array(fc.constantFrom('a', 'A', 'b', 'c', 'ab', ''), { minLength: 1, maxLength: 4 }), (templates, segments) => {
        const tree = createPathTree<'GET', string>();
        for (const one of templates) tree.add('GET', one, one);
        const fits = (one: string): boolean => {
          const wanted = one.slice(1).split('/');
          const given = segments.at(-1) === '' && segments.length > 1 ? segments.slice(0, -1) : segments;
          return wanted.length === given.length && wanted.every((part, i) => (part.startsWith('{') ? given[i] !== '' : part.toLowerCase() === given[i]!.toLowerCase()));
        };
        const found = tree.find('GET', `/${segments.join('/')}`);
        if (found.type === 'found') {
          expect(fits(found.value)).toBe(true);
          const given = found.value.slice(1).split('/').flatMap((part, i) => (part.startsWith('{') ? [[part.slice(1, -1), segments[i]!]] : []));
          expect(found.segments).toEqual(Object.fromEntries(given));
        } else expect(templates.some(fits)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});
