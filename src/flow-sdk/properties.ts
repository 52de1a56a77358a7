/** Context properties: texts that travel with a flow to its sub-flows and to the flows of its counterparties. */
import { FlowPlatformError } from './errors.ts';
import type { FlowProperties } from './flow-context.ts';

/** Bounds on the properties of one flow: how many, and UTF-16 code units of one name and of all names and values. */
const countMax = 100;
const nameCharsMax = 250;
const charsMax = 20_000;

/** The platform's own begin with this (Corda). */
const reserved = 'corda';

export type Properties = Map<string, string>;

const put = (properties: Properties, name: string, value: string): void => {
  if (typeof name !== 'string' || typeof value !== 'string' || name === '' || name.length > nameCharsMax) {
    throw new FlowPlatformError('PROPERTY_INVALID', `a property is a text under a name of 1 to ${nameCharsMax} characters`);
  }
  if (name.toLowerCase().startsWith(reserved)) throw new FlowPlatformError('PROPERTY_INVALID', `names that begin with "${reserved}" are the platform's: ${name}`);
  let chars = name.length + value.length;
  for (const [one, text] of properties) if (one !== name) chars += one.length + text.length;
  if (chars > charsMax || (properties.size >= countMax && !properties.has(name))) {
    throw new FlowPlatformError('PROPERTY_INVALID', `a flow has at most ${countMax} properties of ${charsMax} characters in all`);
  }
  properties.set(name, value);
};

export const propertiesOf = (properties: Properties): FlowProperties => ({
  get: (name) => properties.get(name),
  put: (name, value) => put(properties, name, value),
  all: () => Object.fromEntries(properties),
});

/** A copy: what a sub-flow changes does not leak back. */
export const copyOf = (properties: Properties, more: Readonly<Record<string, string>> = {}): Properties => {
  const copy = new Map(properties);
  for (const [name, value] of Object.entries(more)) put(copy, name, value);
  return copy;
};
