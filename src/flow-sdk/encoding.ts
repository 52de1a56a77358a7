/** Bytes and their text, without a platform: a Compartment has neither TextEncoder nor btoa. */

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** base64url (RFC 4648 §5) of bytes or of a text's UTF-8. */
export const base64urlOf = (data: Uint8Array | string): string => {
  const bytes = typeof data === 'string' ? utf8Of(data) : data;
  const text: string[] = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text.push(digits[word >> 18]!, digits[(word >> 12) & 63]!);
    if (left > 1) text.push(digits[(word >> 6) & 63]!);
    if (left > 2) text.push(digits[word & 63]!);
  }
  return text.join('');
};

/** UTF-8 (RFC 3629); a lone surrogate becomes U+FFFD, as TextEncoder has it. */
const utf8Of = (text: string): number[] => {
  const bytes: number[] = [];
  for (const char of text) {
    const point = char.codePointAt(0)!;
    const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return bytes;
};
