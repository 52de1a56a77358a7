/**
 * The part of Standard Schema (version 1, standardschema.dev) that the SDK uses. Schemas of zod, valibot, arktype and others
 * satisfy it as they are; a hand-written one needs only a `validate`.
 */

/** Reads `unknown` into `Output`, or says what is wrong with it. */
export interface StandardSchema<Output> {
  readonly '~standard': {
    readonly version: 1;
    /** Name of the library, or of your application. */
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export type SchemaIssue = {
  readonly message: string;
  /** Where in the value: property names and indexes, outermost first. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
};

/** Bounds on what an error message repeats of a schema's complaints: issues, and UTF-16 code units of one. */
const issuesShownMax = 5;
const issueCharsMax = 300;

const issueText = ({ message, path }: SchemaIssue): string => {
  const place = (path ?? []).map((step) => String(typeof step === 'object' ? step.key : step)).join('.');
  return (place === '' ? message : `${place}: ${message}`).slice(0, issueCharsMax);
};

/** The complaints of a schema as one line. */
export const issuesText = (issues: readonly SchemaIssue[]): string => {
  const shown = issues.slice(0, issuesShownMax).map(issueText).join('; ');
  return issues.length > issuesShownMax ? `${shown}; and ${issues.length - issuesShownMax} more` : shown;
};
