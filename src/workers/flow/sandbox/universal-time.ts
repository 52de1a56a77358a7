/**
 * Takes the machine's time zone out of `Date`: local time is UTC, so that flow code computes the same on every replica.
 * Imported for its effect, before the realm is hardened; SES takes clock and locale away by itself.
 */
const OriginalDate = Date;
const prototype = OriginalDate.prototype;

const parts = ['Date', 'FullYear', 'Hours', 'Milliseconds', 'Minutes', 'Month', 'Seconds'] as const;
const replaced: Record<string, unknown> = {
  getDay: prototype.getUTCDay,
  getTimezoneOffset: { getTimezoneOffset: () => 0 }.getTimezoneOffset,
  toString: {
    toString(this: Date) {
      return prototype.toUTCString.call(this);
    },
  }.toString,
  toDateString: {
    toDateString(this: Date) {
      return prototype.toUTCString.call(this).slice(0, 16);
    },
  }.toDateString,
  toTimeString: {
    toTimeString(this: Date) {
      return prototype.toUTCString.call(this).slice(17);
    },
  }.toTimeString,
};
for (const part of parts) {
  replaced[`get${part}`] = prototype[`getUTC${part}`];
  replaced[`set${part}`] = prototype[`setUTC${part}`];
}
for (const [name, value] of Object.entries(replaced)) {
  Object.defineProperty(prototype, name, { value, writable: true, enumerable: false, configurable: true });
}

const zoned = /(?:Z|GMT|UTC|[+-]\d{2}:?\d{2})\s*(?:\([^)]*\))?\s*$/i;
const isoDate = /^[+-]?\d{4,6}(?:-\d{2}){0,2}$/;

/** A text without a zone is UTC. A bare ISO date is that already, and ends like a zone. */
const parseUniversal = (text: string): number => {
  if (isoDate.test(text) || zoned.test(text)) return OriginalDate.parse(text);
  return OriginalDate.parse(text.includes('T') ? `${text}Z` : `${text} UTC`);
};

/** What `new Date(…)` hands on to the original constructor. */
const universalArguments = (given: readonly unknown[]): readonly unknown[] => {
  if (given.length === 0) return given;
  // The constructor coerces, as the original does.
  if (given.length > 1) return [OriginalDate.UTC(...(given as Parameters<typeof Date.UTC>))];
  return typeof given[0] === 'string' ? [parseUniversal(given[0])] : given;
};

// A function and not a class, since Date may be called too; SES looks at it as it looks at the original.
const UniversalDate = function Date(...given: unknown[]): unknown {
  if (new.target === undefined) return new OriginalDate().toString();
  return Reflect.construct(OriginalDate, universalArguments(given), new.target as typeof OriginalDate);
};
Object.defineProperties(UniversalDate, {
  prototype: { value: prototype, writable: false, enumerable: false, configurable: false },
  length: { value: 7 },
  now: { value: OriginalDate.now, writable: true, enumerable: false, configurable: true },
  UTC: { value: OriginalDate.UTC, writable: true, enumerable: false, configurable: true },
  parse: {
    value: { parse: (text: unknown) => parseUniversal(String(text)) }.parse,
    writable: true,
    enumerable: false,
    configurable: true,
  },
});
prototype.constructor = UniversalDate;
// It has the original's shape, which the declared type of the global asks for.
globalThis.Date = UniversalDate as unknown as DateConstructor;
