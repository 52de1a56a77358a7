/**
 * JSON in its one canonical form (RFC 8785): what is signed or digested must have one text on every machine. Numbers and strings are
 * written as ECMAScript writes them, which is what the standard asks for; members are sorted by the UTF-16 code units of their
 * names. Nothing is imported, since apps carry this file in their bundles.
 */

/** Nesting of a value: what is signed is flat, and this reads recursively. */
const depthMax = 500;

/** What ails the value, as the message of a TypeError: nothing is dropped or replaced in silence. */
const fail = (what: string): never => {
  throw new TypeError(`${what} has no canonical JSON (RFC 8785)`);
};

/** By Unicode's category, since authors' projects may know no newer string methods. */
const textOf = (text: string): string => (/\p{Surrogate}/u.test(text) ? fail('half of a surrogate pair') : JSON.stringify(text));

const byCodeUnits = (one: string, other: string): number => (one < other ? -1 : 1);

const membersOf = (value: object, depth: number): string =>
  Object.entries(value)
    // As JSON has it: what is undefined is not there.
    .filter(([, part]) => part !== undefined)
    .sort(([one], [other]) => byCodeUnits(one, other))
    .map(([name, part]) => `${textOf(name)}:${write(part, depth)}`)
    .join(',');

const writeObject = (value: object, depth: number): string => {
  if (depth >= depthMax) return fail(`a value nested deeper than ${depthMax}`);
  if (Array.isArray(value)) return `[${Array.from(value as unknown[], (part) => write(part, depth + 1)).join(',')}]`;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A Date, a Map or an instance of a class would lose what it is; its owner says how to write it.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return fail('an instance of a class');
  return `{${membersOf(value, depth + 1)}}`;
};

const write = (value: unknown, depth: number): string => {
  switch (typeof value) {
    case 'string':
      return textOf(value);
    case 'number':
      return Number.isFinite(value) ? JSON.stringify(value) : fail(`the number ${String(value)}`);
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : writeObject(value, depth);
    default:
      return fail(`a value of type ${typeof value}`);
  }
};

/** The canonical text of a JSON value. Throws TypeError for what is none. */
export const canonicalJson = (value: unknown): string => write(value, 0);
