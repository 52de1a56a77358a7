/** A file of a form that is handed on as it comes: no more of it is in memory than was asked for. */
import { expect, test } from 'vitest';
import { concat, utf8 } from '../../../src/cipher/bytes.ts';
import { restLimits } from '../../../src/workers/rest/config.ts';
import { BodyRefused, readForm } from '../../../src/workers/rest/parsing/parsing.ts';
import { formBody } from '../../../src/workers/rest/routing/routing.ts';

const body = formBody({ passphrase: 'text', file: 'stream' }, 'transferBytesMax');
const part = (name: string, content: string): string => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${content}\r\n`;

/** `given` counts what was taken of the body. */
const sent = (pieces: readonly string[], breaks = false) => {
  let given = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        const piece = pieces[given];
        if (piece !== undefined) return void (given++, controller.enqueue(utf8(piece)));
        if (breaks) controller.error(new Error('gone'));
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const request = new Request('http://rest.test', { method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=b' }, body: stream, duplex: 'half' } as RequestInit);
  return { given: () => given, read: (limits = restLimits) => readForm(body, request, limits) };
};
const form = [part('passphrase', 'secret'), part('file', '0').slice(0, -2), ...Array.from({ length: 50 }, (_, at) => `${at}`.repeat(100)), '\r\n--b--\r\n'];

const fileOf = async (read: Awaited<ReturnType<ReturnType<typeof sent>['read']>>) => {
  if (read.type === 'refused') throw new Error(read.code);
  // The fields that the form declares.
  return read.value as { passphrase: string; file: AsyncIterable<Uint8Array> };
};

test('comes whole, and not before it is read', async () => {
  const { given, read } = sent(form);
  const { passphrase, file } = await fileOf(await read());
  expect([passphrase, given()]).toEqual(['secret', 2]);
  const pieces: Uint8Array[] = [];
  for await (const piece of file) {
    pieces.push(piece);
    expect(given()).toBeLessThanOrEqual(pieces.length + 3);
  }
  expect(new TextDecoder().decode(concat(...pieces))).toBe(`0${form.slice(2, -1).join('')}`);
});

test('is taken from its sender though its reader stops, so that the answer is heard', async () => {
  const { given, read } = sent(form);
  const { file } = await fileOf(await read());
  for await (const _ of file) break;
  expect(given()).toBe(form.length);
});

test('tells its reader what goes wrong with the body', async () => {
  const reasonOf = async ({ read }: ReturnType<typeof sent>, limits = restLimits): Promise<string> => {
    try {
      for await (const _ of (await fileOf(await read(limits))).file);
      return 'whole';
    } catch (error) {
      return error instanceof BodyRefused ? error.refusal.code : String(error);
    }
  };
  expect(await reasonOf(sent(form.slice(0, -1)))).toBe('REST_BODY_MALFORMED');
  expect(await reasonOf(sent(form.slice(0, -1), true))).toBe('REST_BODY_MALFORMED');
  expect(await reasonOf(sent(form), { ...restLimits, transferBytesMax: 1_000 })).toBe('REST_BODY_TOO_LARGE');
  expect(await reasonOf(sent([...form.slice(0, -1), '\r\n', part('other', 'x'), '--b--\r\n']))).toBe('REST_BODY_MALFORMED');
  expect(await reasonOf(sent([[...form.slice(0, -1), '\r\n', part('other', 'x'), '--b--\r\n'].join('')]))).toBe('Error: REST_BODY_MALFORMED');
  // What stands behind the file is not there when the file is read, though it may have come with it.
  const turned = [part('file', 'x'), part('passphrase', 'secret'), '--b--\r\n'];
  expect(await reasonOf(sent(turned))).toBe('Error: REST_PARAMETER_INVALID');
  expect(await reasonOf(sent([turned.join('')]))).toBe('Error: REST_PARAMETER_INVALID');
  expect(await reasonOf(sent(['--b--\r\n']))).toBe('Error: REST_PARAMETER_INVALID');
});
