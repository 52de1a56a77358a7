/** What a section of the configuration is made of: fields with a default, a bound, a unit and what they are for. */
import * as z from 'zod';

export type FieldFacts = {
  /** What the number counts, such as `ms`. */
  readonly unit?: string;
  readonly says: string;
};

/** A whole number. */
export const whole = ({ byDefault, min, max, unit, says }: FieldFacts & { readonly byDefault: number; readonly min: number; readonly max: number }) =>
  z.int().min(min).max(max).default(byDefault).meta({ unit, description: says });

/** A number that need not be whole. */
export const number = ({ byDefault, min, max, unit, says }: FieldFacts & { readonly byDefault: number; readonly min: number; readonly max: number }) =>
  z.number().min(min).max(max).default(byDefault).meta({ unit, description: says });

/** One of a few words. */
export const wordOf = <const Words extends readonly [string, ...string[]]>(words: Words, { byDefault, says }: FieldFacts & { readonly byDefault: Words[number] }) =>
  // zod's own type of `default` does not follow the generic.
  (z.enum(words) as z.ZodType<Words[number], Words[number]>).default(byDefault as never).meta({ description: says });

/** Text without a default: the field may be left out. */
export const optionalText = ({ says, charsMax = 1_000 }: FieldFacts & { readonly charsMax?: number }) => z.string().min(1).max(charsMax).optional().meta({ description: says });

export const texts = ({ byDefault, says, countMax = 50 }: FieldFacts & { readonly byDefault: readonly string[]; readonly countMax?: number }) =>
  z.array(z.string().min(1).max(1_000)).max(countMax).default([...byDefault]).meta({ description: says });

/** Corda's shape of a value that must not be read by whoever reads the configuration; made by `cordage config encrypt`. */
export const configSecret = z.strictObject({ configSecret: z.strictObject({ encryptedSecret: z.string().min(1).max(10_000) }) });
export type ConfigSecret = z.infer<typeof configSecret>;

export const secret = ({ says }: FieldFacts) => configSecret.meta({ unit: 'configSecret', description: says });

/**
 * A section: its fields, and what Corda has under this name and Cordage has not. The latter is taken from a client that sends it, kept in
 * the source, and left out of the configuration in force.
 */
export type SectionDeclaration<Schema extends z.ZodType> = {
  readonly says: string;
  readonly schema: Schema;
  /** From a path such as `sslConfig.keyStore` to why it means nothing here. */
  readonly ignored: Readonly<Record<string, string>>;
};

export const section = <Schema extends z.ZodType>(declaration: SectionDeclaration<Schema>): SectionDeclaration<Schema> => declaration;
