import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concat, utf8 } from '../../../src/cipher/bytes.ts';
import { FileRefused, openFile, sealFile } from '../../../src/workers/rest/transfer/sealed-file.ts';

async function* from(texts: readonly string[]): AsyncGenerator<string> {
  yield* texts;
}
const sealed = async (texts: readonly string[], passphrase = 'a long passphrase'): Promise<Uint8Array> => {
  const frames: Uint8Array[] = [];
  for await (const frame of sealFile(passphrase, from(texts), { n: 2, r: 8, p: 1 })) frames.push(frame);
  return concat(...frames);
};
const opened = async (file: Uint8Array, passphrase = 'a long passphrase', pieceBytes = 7): Promise<string[]> => {
  const texts: string[] = [];
  const pieces = Array.from({ length: Math.ceil(file.length / pieceBytes) }, (_, at) => file.subarray(at * pieceBytes, (at + 1) * pieceBytes));
  for await (const text of openFile(passphrase, pieces)) texts.push(text);
  return texts;
};
const reasonOf = (file: Uint8Array, passphrase?: string): Promise<string> =>
  opened(file, passphrase).then(
    () => 'opened',
    (error: unknown) => (error instanceof FileRefused ? error.message : Promise.reject(error)),
  );

test('what was sealed is opened, whatever the pieces in which it comes', async () => {
  for (const texts of [['one'], ['', 'ä and 💡'.repeat(10_000), 'last']]) expect(await opened(await sealed(texts), undefined, 1_000)).toEqual(texts);
  expect(await opened(await sealed([]))).toEqual(['']);
});

test('a wrong passphrase, a cut, a change and an addition are seen', async () => {
  const file = await sealed(['one', 'two', 'three']);
  expect(await reasonOf(file, 'another passphrase')).toMatch(/passphrase is wrong/);
  expect(await reasonOf(file.subarray(0, -1))).toBe('the file breaks off');
  // Between two frames: every frame that is there is whole.
  expect(await reasonOf(file.subarray(0, file.length - (4 + 5 + 16)))).toBe('the file breaks off');
  expect(await reasonOf(concat(file, new Uint8Array([0])))).toMatch(/behind the end/);
  expect(await reasonOf(utf8('PK and so on, which is a zip'))).toMatch(/no export/);
});

test('two files of the same text and passphrase have nothing in common', async () => {
  const [one, other] = [await sealed(['one']), await sealed(['one'])];
  expect(one.subarray(-20)).not.toEqual(other.subarray(-20));
});

test('no change of a single byte opens, and none throws', async () => {
  const file = await sealed(['one', 'two']);
  const withChange = (at: number, change: number): Uint8Array => {
    const damaged = file.slice();
    damaged[at]! ^= change;
    return damaged;
  };
  await fc.assert(fc.asyncProperty(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
    expect(await reasonOf(withChange(at, change))).not.toBe('opened');
  }));
  // The bits of the salt that do not count: its last character is the one before the header's end.
  const saltEnd = new TextDecoder('latin1').decode(file).indexOf('"}') - 1;
  for (const change of [1, 2, 3, 4]) expect(await reasonOf(withChange(saltEnd, change))).not.toBe('opened');
});

test('a header of a stranger cannot ask for more memory than there is', async () => {
  const header = utf8(JSON.stringify({ n: 2 ** 24, r: 32, p: 1, salt: 'A'.repeat(22) }));
  expect(await reasonOf(concat(utf8('cordage-vnode 1\n'), new Uint8Array([0, header.length]), header))).toMatch(/header/);
});
