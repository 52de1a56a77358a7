/** The Basic scheme (RFC 7617) with UTF-8, as this server announces it. */

export type Credentials = { readonly login: string; readonly password: string };

/** Strict: one credential has one header. Tokens that are not canonical base64 are refused rather than guessed at. */
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

// Control characters stand in no login or password (RFC 7617 section 2).
// oxlint-disable-next-line no-control-regex -- they are what is being refused
const control = /[\u0000-\u001f\u007f]/;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const decode = (token: string): string | undefined => {
  if (!base64.test(token)) return undefined;
  try {
    return decoder.decode(Uint8Array.from(atob(token), (char) => char.charCodeAt(0)));
  } catch {
    return undefined;
  }
};

/** `undefined` when the header is not Basic with a login and a password. A password may be empty or hold colons. */
export const parseBasic = (header: string, charsMax: number): Credentials | undefined => {
  if (header.length > charsMax) return undefined;
  const [, token] = /^basic +([^\s]+) *$/i.exec(header) ?? [];
  const text = token === undefined ? undefined : decode(token);
  if (text === undefined || control.test(text)) return undefined;
  const colon = text.indexOf(':');
  return colon <= 0 ? undefined : { login: text.slice(0, colon), password: text.slice(colon + 1) };
};
