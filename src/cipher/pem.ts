/** PEM (RFC 7468): what operators paste. */
import { fromBase64url, toBase64url, type Bytes } from './bytes.ts';
import { CipherError } from './cipher-error.ts';

const lineLength = 64;
/** Bound on a PEM text in UTF-16 code units; a chain of three RSA certificates has about 6,000. */
const textCharsMax = 1_000_000;

const toBase64 = (bytes: Uint8Array): string => {
  const digits = toBase64url(bytes).replaceAll('-', '+').replaceAll('_', '/');
  return digits.padEnd(Math.ceil(digits.length / 4) * 4, '=');
};

export const encodePem = (label: string, der: Uint8Array): string => {
  const lines = toBase64(der).match(new RegExp(`.{1,${lineLength}}`, 'g')) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
};

export type PemBlock = { readonly label: string; readonly der: Bytes };

const malformed = (reason: string): never => {
  throw new CipherError('CIPHER_ENCODING', `PEM: ${reason}`);
};

const derOfBody = (body: string): Bytes => {
  const digits = body.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(digits) || digits.length % 4 !== 0) malformed('a block whose content is not base64');
  return fromBase64url(digits.replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_'));
};

const boundary = /^-----(BEGIN|END) ([A-Z0-9]+(?: [A-Z0-9]+)*)-----$/;

/** All blocks in order; text around them is let be, as RFC 7468 allows. Throws CIPHER_ENCODING on a broken block. */
export const decodePem = (text: string): PemBlock[] => {
  if (text.length > textCharsMax) malformed(`longer than ${textCharsMax} characters`);
  const blocks: PemBlock[] = [];
  let open: { label: string; body: string[] } | undefined;
  for (const line of text.split(/\r\n|\r|\n/)) {
    const [, edge, label] = boundary.exec(line.trim()) ?? [];
    if (label === undefined) {
      open?.body.push(line);
    } else if (edge === 'BEGIN') {
      if (open !== undefined) malformed(`${open.label} has no end before ${label} begins`);
      open = { label, body: [] };
    } else {
      if (open?.label !== label) return malformed(`${label} ends without having begun`);
      blocks.push({ label, der: derOfBody(open.body.join('')) });
      open = undefined;
    }
  }
  if (open !== undefined) malformed(`${open.label} has no end`);
  return blocks;
};
