/** JSON that means one thing: what `JSON.parse` takes, without repeated keys and not too deep. */

export type StrictJson = { readonly type: 'json'; readonly value: unknown } | { readonly type: 'malformed'; readonly reason: string };

const malformed = (reason: string): StrictJson => ({ type: 'malformed', reason });

/** The index of the quote that ends the string beginning at `start`; the text is valid JSON, so it exists. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
  }
};

/** A key as it is meant: `"\u0061"` repeats `"a"`. */
const keyOf = (text: string, start: number, end: number): string => {
  const raw = text.slice(start + 1, end);
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw;
};

/** Why a text that parses is refused nevertheless. */
const faultOf = (text: string, depthMax: number): string | undefined => {
  // One entry a level: the keys seen in an object, `undefined` in an array.
  const levels: (Set<string> | undefined)[] = [];
  let keyNext = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x7b: // {
      case 0x5b: // [
        if (levels.length >= depthMax) return `it is nested more than ${depthMax} deep`;
        keyNext = text.charCodeAt(i) === 0x7b;
        levels.push(keyNext ? new Set() : undefined);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        levels.pop();
        keyNext = false;
        break;
      case 0x2c: // ,
        keyNext = levels.at(-1) !== undefined;
        break;
      case 0x22: {
        // "
        const end = endOfString(text, i);
        if (keyNext) {
          const key = keyOf(text, i, end);
          const keys = levels.at(-1)!;
          if (keys.has(key)) return `the key ${JSON.stringify(key.slice(0, 100))} stands twice`;
          keys.add(key);
          keyNext = false;
        }
        i = end;
        break;
      }
    }
  }
  return undefined;
};

export const parseStrictJson = (text: string, depthMax: number): StrictJson => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed('it is not JSON');
  }
  const fault = faultOf(text, depthMax);
  return fault === undefined ? { type: 'json', value } : malformed(fault);
};
