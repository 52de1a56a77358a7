/** What a caller gives to an operation and gets from it, as types: read off the declaration, for the typed client. */
import type { Parameters } from '../parameter.ts';
import type { FormField, FormFields, JsonBody, FormBody, Route } from './routing.ts';

/** Texts of a query; a list repeats the name. What is undefined is left out. */
export type QueryValue = string | number | boolean | readonly string[];

type RequiredNames<Query extends Parameters> = { [Name in keyof Query]: Query[Name] extends { readonly required: true } ? Name : never }[keyof Query];
type QueryGiven<Query extends Parameters> = { readonly [Name in RequiredNames<Query>]: QueryValue } & {
  readonly [Name in Exclude<keyof Query, RequiredNames<Query>>]?: QueryValue | undefined;
};
type PathGiven<Path extends Parameters> = { readonly [Name in keyof Path]: string };
type FieldGiven<Field extends FormField> = Field extends 'text' ? string : Field extends 'file' | 'stream' ? Blob : readonly Blob[];
type FormGiven<Fields extends FormFields> = { readonly [Name in keyof Fields]: FieldGiven<Fields[Name]> };
type BodyGiven<Body> = Body extends JsonBody<any, infer Input> ? { readonly json: Input } : Body extends FormBody<infer Fields> ? { readonly form: FormGiven<Fields> } : {};

/** A part is optional where nothing in it is required. */
type Part<Key extends string, Value> = {} extends Value ? { readonly [Name in Key]?: Value } : { readonly [Name in Key]: Value };

export type Given<Path extends Parameters, Query extends Parameters, Body> = Part<'path', PathGiven<Path>> & Part<'query', QueryGiven<Query>> & BodyGiven<Body>;

/** `Name` is `<METHOD> <path>`. The types stand in a property that no value has. */
export type TypedRoute<Name extends string, GivenToIt, Value> = Route & { readonly types?: { readonly name: Name; readonly given: GivenToIt; readonly value: Value } };
