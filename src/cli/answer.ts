/** Reads what a cluster answered where its type is not at hand. */

/** A field of an answer, or an error that shows the answer: a client trusts the server no more than any other. */
export const textOf = (answer: unknown, name: string): string => {
  const value = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>)[name] : undefined;
  if (typeof value !== 'string') throw new Error(`the answer has no text field "${name}": ${JSON.stringify(answer).slice(0, 500)}`);
  return value;
};
