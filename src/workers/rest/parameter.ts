/** Parameters of path and query: how their text is read, and how the OpenAPI document describes them. */
import * as z from 'zod';

export type ParameterSchema = {
  readonly type: 'string' | 'integer' | 'boolean' | 'array';
  readonly format?: string;
  readonly nullable: boolean;
  readonly items?: { readonly type: 'string' };
  readonly uniqueItems?: boolean;
};

export type ReadParameter<Value> = { readonly type: 'value'; readonly value: Value } | { readonly type: 'unreadable'; readonly reason: string };

export type Parameter<Value, Required extends boolean = boolean> = {
  readonly required: Required;
  readonly schema: ParameterSchema;
  /** Takes the texts given under its name, decoded; none when it was left out. */
  readonly read: (texts: readonly string[]) => ReadParameter<Value>;
};

export type Parameters = Readonly<Record<string, Parameter<any, any>>>;
export type ValuesOf<Given extends Parameters> = { readonly [Name in keyof Given]: Given[Name] extends Parameter<infer Value, any> ? Value : never };

const unreadable = (reason: string): ReadParameter<never> => ({ type: 'unreadable', reason });

const readOne = <Value>(texts: readonly string[], absent: ReadParameter<Value>, read: (text: string) => ReadParameter<Value>): ReadParameter<Value> => {
  const [first, ...others] = texts;
  if (first === undefined) return absent;
  return others.length > 0 ? unreadable('it is given more than once') : read(first);
};

const parseWith = <Value>(schema: z.ZodType<Value, string>, text: string): ReadParameter<Value> => {
  const parsed = schema.safeParse(text);
  return parsed.success ? { type: 'value', value: parsed.data } : unreadable(parsed.error.issues[0]?.message ?? 'it is malformed');
};

const anyText: z.ZodType<string, string> = z.string();

export const text = <Value = string>(
  // Without a schema the value is the text itself.
  schema: z.ZodType<Value, string> = anyText as unknown as z.ZodType<Value, string>,
): Parameter<Value, true> => ({
  required: true,
  schema: { type: 'string', nullable: false },
  read: (texts) => readOne<Value>(texts, unreadable('it is missing'), (given) => parseWith(schema, given)),
});

export const optionalText = <Value = string>(
  // As above.
  schema: z.ZodType<Value, string> = anyText as unknown as z.ZodType<Value, string>,
): Parameter<Value | undefined, false> => ({
  required: false,
  schema: { type: 'string', nullable: true },
  read: (texts) => readOne<Value | undefined>(texts, { type: 'value', value: undefined }, (given) => parseWith(schema, given)),
});

/** Like `optionalText`, for the contract's parameters that have a default instead of a null. */
export const textOr = <Value>(fallback: Value, schema: z.ZodType<Value, string>): Parameter<Value, false> => ({
  required: false,
  schema: { type: 'string', nullable: false },
  read: (texts) => readOne<Value>(texts, { type: 'value', value: fallback }, (given) => parseWith(schema, given)),
});

const readInteger = (given: string, { min, max }: { readonly min: number; readonly max: number }): ReadParameter<number> => {
  const value = /^-?\d{1,10}$/.test(given) ? Number(given) : Number.NaN;
  return value >= min && value <= max ? { type: 'value', value } : unreadable(`it must be an integer from ${min} to ${max}`);
};

export const optionalInteger = (bounds: { readonly min: number; readonly max: number }): Parameter<number | undefined, false> => ({
  required: false,
  schema: { type: 'integer', format: 'int32', nullable: true },
  read: (texts) => readOne<number | undefined>(texts, { type: 'value', value: undefined }, (given) => readInteger(given, bounds)),
});

/** An integer that must be given. */
export const integerIn = (bounds: { readonly min: number; readonly max: number }): Parameter<number> => ({
  required: true,
  schema: { type: 'integer', format: 'int32', nullable: false },
  read: (texts) => readOne<number>(texts, unreadable('it is missing'), (given) => readInteger(given, bounds)),
});

export const integerOr = (fallback: number, bounds: { readonly min: number; readonly max: number }): Parameter<number, false> => ({
  required: false,
  schema: { type: 'integer', format: 'int32', nullable: false },
  read: (texts) => readOne(texts, { type: 'value', value: fallback }, (given) => readInteger(given, bounds)),
});

/** `true` or `false` in either case; left out it is false. */
export const flag: Parameter<boolean, false> = {
  required: false,
  schema: { type: 'boolean', nullable: false },
  read: (texts) =>
    readOne(texts, { type: 'value', value: false }, (given) => {
      const word = given.toLowerCase();
      return word === 'true' || word === 'false' ? { type: 'value', value: word === 'true' } : unreadable('it must be true or false');
    }),
};

const readAll = <Value>(given: readonly string[], schema: z.ZodType<Value, string>, countMax: number): ReadParameter<readonly Value[]> => {
  if (given.length > countMax) return unreadable(`it is given more than ${countMax} times`);
  const values: Value[] = [];
  for (const one of given) {
    const parsed = parseWith(schema, one);
    if (parsed.type === 'unreadable') return parsed;
    values.push(parsed.value);
  }
  return { type: 'value', value: values };
};

/** A parameter that may be repeated: `?statuses=ACTIVE&statuses=SUSPENDED`. */
export const texts = <Value>(options: { readonly schema: z.ZodType<Value, string>; readonly countMax: number; readonly nullable: boolean }): Parameter<readonly Value[], false> => ({
  required: false,
  schema: { uniqueItems: false, type: 'array', nullable: options.nullable, items: { type: 'string' } },
  read: (given) => readAll(given, options.schema, options.countMax),
});

/** 12 hex digits in either case; the value is upper-case, as everywhere inside. */
export const shortHashText: z.ZodType<string, string> = z
  .string()
  .regex(/^[0-9a-fA-F]{12}$/, 'a holding identity short hash has 12 hex digits')
  .transform((given) => given.toUpperCase());

export const shortHash = text(shortHashText);

export const clientRequestIdText = z.string().regex(/^[-._A-Za-z0-9]{1,242}$/, 'a client request id has 1 to 242 letters, digits, ".", "-" and "_"');

/** An enumeration whose words a caller may write in either case. */
export const wordOf = <Word extends string>(words: z.ZodType<Word>, allowed: readonly Word[]): z.ZodType<Word, string> =>
  z.string().transform((given, context) => {
    const found = allowed.find((word) => word.toLowerCase() === given.toLowerCase());
    if (found !== undefined) return words.parse(found);
    context.addIssue({ code: 'custom', message: `it must be one of ${allowed.join(', ')}` });
    return z.NEVER;
  });
