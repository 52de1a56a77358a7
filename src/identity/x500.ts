/**
 * X.500 names as Corda 5 takes them: attributes CN, OU, O, L, ST, C, each at most once and of one value; O, L and C required;
 * canonical order `CN, OU, O, L, ST, C` joined with `, `. Values may be escaped as in RFC 4514 or quoted as in RFC 2253; the
 * canonical text escapes, and each spelling of a name leads to the same one: the holding identity hash is made of it.
 */
import { countryCodes } from './iso-3166.ts';

declare const canonical: unique symbol;
/** Canonical text of a valid name; made by `parseX500` only. */
export type X500Name = string & { readonly [canonical]: true };

export const x500Attributes = ['CN', 'OU', 'O', 'L', 'ST', 'C'] as const;
export type X500Attribute = (typeof x500Attributes)[number];

export type ParsedX500 =
  | { readonly type: 'name'; readonly name: X500Name; readonly attributes: Readonly<Partial<Record<X500Attribute, string>>> }
  | { readonly type: 'invalid'; readonly reason: string };

/** Bounds in UTF-16 code units (Corda: O 128, the other free texts 64). */
const lengthMax: Record<X500Attribute, number> = { CN: 64, OU: 64, O: 128, L: 64, ST: 64, C: 2 };
const textCharsMax = 600;
const distinguishedNameCharsMax = 1_000;

const invalid = (reason: string): { readonly type: 'invalid'; readonly reason: string } => ({ type: 'invalid', reason });

/** Splits at unescaped, unquoted commas; `undefined` when a quote or escape is left open. */
const splitParts = (text: string): string[] | undefined => {
  const parts: string[] = [];
  let part = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\') {
      if (i + 1 >= text.length) return undefined;
      part += char + text.charAt(++i);
    } else if (char === '"') {
      quoted = !quoted;
      part += char;
    } else if (char === ',' && !quoted) {
      parts.push(part);
      part = '';
    } else part += char;
  }
  if (quoted) return undefined;
  parts.push(part);
  return parts;
};

const isEscapedAt = (text: string, at: number): boolean => {
  let backslashes = 0;
  while (text.charAt(at - 1 - backslashes) === '\\') backslashes++;
  return backslashes % 2 === 1;
};

/** Spaces around a value are not part of it unless they are escaped. */
const withoutSpaces = (raw: string): string => {
  let end = raw.length;
  while (end > 0 && raw.charAt(end - 1) === ' ' && !isEscapedAt(raw, end - 1)) end--;
  return raw.slice(0, end).replace(/^ +/, '');
};

const quotedForm = /^"((?:[^"\\]|\\.)*)"$/su;
/** RFC 4514 section 2.4: these must be escaped; an unescaped `+` would begin a second value, a first `#` an encoded one. */
const bareForm = /^(?!#)(?:[^"+;<>\\]|\\.)*$/su;
/** A run of escaped UTF-8 bytes, or one escaped character. */
const escape = /((?:\\[0-9a-fA-F]{2})+)|\\(.)/gsu;
const escapable = ' "#+,;<=>\\';

const decodeHexRun = (run: string): string => {
  const bytes = Uint8Array.from(run.slice(1).split('\\'), (pair) => parseInt(pair, 16));
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
};

/** `undefined` where the value is not spelt as RFC 4514 or RFC 2253 would. */
const unescapeValue = (raw: string): string | undefined => {
  const trimmed = withoutSpaces(raw);
  const inner = trimmed.startsWith('"') ? quotedForm.exec(trimmed)?.[1] : bareForm.exec(trimmed)?.[0];
  if (inner === undefined) return undefined;
  let sound = true;
  const value = inner.replace(escape, (_all, run: string | undefined, char: string | undefined) => {
    if (char !== undefined) {
      sound &&= escapable.includes(char);
      return char;
    }
    try {
      return decodeHexRun(run!);
    } catch {
      sound = false;
      return '';
    }
  });
  return sound ? value : undefined;
};

const escapeValue = (value: string): string => value.replace(/([,+"\\<>;=])/g, '\\$1').replace(/^#/, '\\#');

const checkValue = (attribute: X500Attribute, value: string): string | undefined => {
  if (value === '') return `${attribute} is empty`;
  if (value.length > lengthMax[attribute]) return `${attribute} is longer than ${lengthMax[attribute]} characters`;
  if (!value.isWellFormed()) return `${attribute} holds half a character (a lone surrogate)`;
  if (/\p{Cc}/u.test(value)) return `${attribute} holds a control character`;
  if (value !== value.trim()) return `${attribute} begins or ends with a space`;
  if (attribute === 'C' && !countryCodes.has(value)) return `C must be a country's two capital letters (ISO 3166, for example GB; or ZZ), not "${value}"`;
  return undefined;
};

export type ReadX500 =
  | { readonly type: 'attributes'; readonly attributes: Readonly<Partial<Record<X500Attribute, string>>> }
  | { readonly type: 'invalid'; readonly reason: string };

/** Reads the attributes of a name of which none is required: the name of a machine, not of a member. */
export const readX500 = (text: string): ReadX500 => {
  if (text.length > textCharsMax) return invalid(`longer than ${textCharsMax} characters`);
  const parts = splitParts(text);
  if (parts === undefined) return invalid('an open quote or escape');
  const attributes: Partial<Record<X500Attribute, string>> = {};
  for (const part of parts) {
    const equals = part.indexOf('=');
    if (equals < 0) return invalid(`"${part.trim()}" is not ATTRIBUTE=value`);
    const key = part.slice(0, equals).trim().toUpperCase();
    const attribute = x500Attributes.find((known) => known === key);
    if (attribute === undefined) return invalid(`attribute "${key}" is not one of ${x500Attributes.join(', ')}`);
    if (attributes[attribute] !== undefined) return invalid(`attribute ${attribute} stands twice`);
    const value = unescapeValue(part.slice(equals + 1));
    if (value === undefined) return invalid(`${attribute} is not spelt as RFC 4514 asks: escape , + " \\ < > ; and a first # with \\`);
    const fault = checkValue(attribute, value);
    if (fault !== undefined) return invalid(fault);
    attributes[attribute] = value;
  }
  return { type: 'attributes', attributes };
};

/** Reads a name in any attribute order; the result is canonical. */
export const parseX500 = (text: string): ParsedX500 => {
  const read = readX500(text);
  if (read.type === 'invalid') return read;
  const { attributes } = read;
  for (const required of ['O', 'L', 'C'] as const) {
    if (attributes[required] === undefined) return invalid(`attribute ${required} is missing`);
  }
  const name = canonicalText(attributes);
  // Escaping lengthens: what is stored and sent must be readable again.
  if (name.length > textCharsMax) return invalid(`longer than ${textCharsMax} characters once its values are escaped`);
  return { type: 'name', name, attributes };
};

const canonicalText = (attributes: Partial<Record<X500Attribute, string>>): X500Name =>
  // The one place where a canonical name is made.
  x500Attributes
    .flatMap((attribute) => {
      const value = attributes[attribute];
      return value === undefined ? [] : [`${attribute}=${escapeValue(value)}`];
    })
    .join(', ') as X500Name;

/**
 * One text for each distinguished name that certificates have, in whatever order and spelling its parts come: the canonical one where it is a
 * member's name, else its parts sorted. `undefined` for what is no such name.
 */
export const distinguishedName = (text: string): string | undefined => {
  const parsed = parseX500(text);
  if (parsed.type === 'name') return parsed.name;
  const parts = text.length > distinguishedNameCharsMax ? undefined : splitParts(text);
  const spelt = parts?.map((part) => {
    const [, attribute, raw] = /^ *([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+) *=(.*)$/su.exec(part) ?? [];
    if (attribute === undefined || raw === undefined) return undefined;
    const value = unescapeValue(raw);
    // Several values at once, and encoded ones, stay as they are spelt.
    return `${attribute.toUpperCase()}=${value === undefined ? withoutSpaces(raw) : escapeValue(value)}`;
  });
  return spelt === undefined || spelt.includes(undefined) ? undefined : spelt.sort().join(', ');
};
