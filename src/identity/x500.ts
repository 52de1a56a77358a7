/**
 * X.500 names as Corda 5 takes them: attributes CN, OU, O, L, ST, C, each at most once; O, L and C required; canonical
 * order `CN, OU, O, L, ST, C` joined with `, `. Values may be quoted or escaped as in RFC 4514.
 */
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

const invalid = (reason: string): ParsedX500 => ({ type: 'invalid', reason });

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

const unescapeValue = (raw: string): string => {
  const trimmed = raw.trim();
  const bare = trimmed.length >= 2 && trimmed.startsWith('"') && trimmed.endsWith('"') ? trimmed.slice(1, -1) : trimmed;
  return bare.replace(/\\(.)/gsu, '$1');
};

const escapeValue = (value: string): string => value.replace(/([,+"\\<>;=])/g, '\\$1').replace(/^#/, '\\#');

const checkValue = (attribute: X500Attribute, value: string): string | undefined => {
  if (value === '') return `${attribute} is empty`;
  if (value.length > lengthMax[attribute]) return `${attribute} is longer than ${lengthMax[attribute]} characters`;
  // oxlint-disable-next-line no-control-regex -- control characters are what is being refused
  if (/[\u0000-\u001f\u007f]/.test(value)) return `${attribute} holds a control character`;
  if (value !== value.trim()) return `${attribute} begins or ends with a space`;
  if (attribute === 'C' && !/^[A-Z]{2}$/.test(value)) return `C must be two capital letters (ISO 3166, or ZZ), not "${value}"`;
  return undefined;
};

/** Reads a name in any attribute order; the result is canonical. */
export const parseX500 = (text: string): ParsedX500 => {
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
    const fault = checkValue(attribute, value);
    if (fault !== undefined) return invalid(fault);
    attributes[attribute] = value;
  }
  for (const required of ['O', 'L', 'C'] as const) {
    if (attributes[required] === undefined) return invalid(`attribute ${required} is missing`);
  }
  return { type: 'name', name: canonicalText(attributes), attributes };
};

const canonicalText = (attributes: Partial<Record<X500Attribute, string>>): X500Name =>
  // The one place where a canonical name is made.
  x500Attributes
    .flatMap((attribute) => {
      const value = attributes[attribute];
      return value === undefined ? [] : [`${attribute}=${escapeValue(value)}`];
    })
    .join(', ') as X500Name;
