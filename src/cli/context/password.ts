/** A password that stands neither in a command nor on the screen: from the environment, or typed unseen. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { usageError } from '../arguments.ts';

const typedUnseen = (question: string): Promise<string> => {
  process.stderr.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  return new Promise((resolve, reject) => {
    lines.once('SIGINT', () => (lines.close(), reject(new Error('no password was given'))));
    lines.question('', (answer) => {
      lines.close();
      process.stderr.write('\n');
      resolve(answer);
    });
  });
};

export const passwordOf = async (login: string): Promise<string> => {
  const { CORDAGE_PASSWORD, CORDAGE_ADMIN_PASSWORD } = process.env;
  const given = CORDAGE_PASSWORD ?? CORDAGE_ADMIN_PASSWORD;
  if (given !== undefined) return given;
  if (!process.stdin.isTTY) throw usageError('a password is needed: --password, or CORDAGE_PASSWORD in the environment');
  return typedUnseen(`password of ${login}: `);
};
