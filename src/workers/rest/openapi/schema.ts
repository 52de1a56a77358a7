/**
 * From zod to OpenAPI 3.0 in the contract's dialect: `nullable` is written out, what is nullable is not required, named
 * shapes are components, `datetime`, `int32` and `int64` are formats.
 */
import * as z from 'zod';

export type Schema = { readonly [key: string]: unknown };
export type Components = Map<string, Schema>;

/** The parts of JSON Schema that zod writes for our shapes. */
type Raw = {
  readonly $ref?: string;
  readonly allOf?: readonly Raw[];
  readonly type?: string;
  readonly format?: string;
  readonly nullable?: boolean;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly items?: Raw;
  readonly uniqueItems?: boolean;
  readonly properties?: Readonly<Record<string, Raw>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Raw | boolean;
  readonly definitions?: Readonly<Record<string, Raw>>;
};

const defined = (schema: Record<string, unknown>): Schema => Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined));

/** The document's patterns have no flags: what needs one (`\p{…}`) stays with the server. */
const isPortable = (pattern: string | undefined): boolean => pattern !== undefined && !/\\[pP]\{/.test(pattern);

const referenceOf = (raw: Raw): string | undefined => raw.$ref ?? (raw.allOf?.length === 1 ? raw.allOf[0]?.$ref : undefined);
const isNullable = (raw: Raw): boolean => raw.nullable === true;

const objectSchema = ({ properties = {}, required = [] }: Raw): Schema => {
  const needed = required.filter((name) => !isNullable(properties[name]!)).sort();
  return defined({
    required: needed.length === 0 ? undefined : needed,
    type: 'object',
    properties: Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, withNullable(property)])),
  });
};

/** OpenAPI 3.0 lets nothing stand beside a `$ref`: whether the reference may be null shows in `required` alone. */
const plain = (raw: Raw): Schema => {
  const reference = referenceOf(raw);
  if (reference !== undefined) return { $ref: reference.replace('#/definitions/', '#/components/schemas/') };
  if (raw.properties !== undefined) return objectSchema(raw);
  if (raw.type === 'array') return { uniqueItems: raw.uniqueItems === true, type: 'array', items: plain(raw.items ?? {}) };
  if (typeof raw.additionalProperties === 'object') return { type: 'object', additionalProperties: plain(raw.additionalProperties) };
  const { type, format, enum: words, pattern, maxLength } = raw;
  return defined({ type, format, enum: words, pattern: format === undefined && isPortable(pattern) ? pattern : undefined, maxLength });
};

const withNullable = (raw: Raw): Schema => {
  const schema = plain(raw);
  return '$ref' in schema || 'properties' in schema ? schema : { ...schema, nullable: isNullable(raw) };
};

/** Corda's spelling of a body that several parameters make up: it says `nullable` and no type. */
const spelt = (name: string, schema: Schema): Schema => {
  if (!name.endsWith('WrapperRequest')) return schema;
  const { type: _type, ...rest } = schema;
  return { ...rest, nullable: false };
};

/** The schema where it is used; shapes with a name are added to the components. */
export const describe = (schema: z.ZodType, io: 'input' | 'output', components: Components): Schema => {
  // zod's own type of the result is wider than what our shapes make of it.
  const raw = z.toJSONSchema(schema, { target: 'openapi-3.0', io, reused: 'inline' }) as Raw;
  for (const [name, definition] of Object.entries(raw.definitions ?? {})) components.set(name, spelt(name, plain(definition)));
  return withNullable(raw);
};
