/**
 * Regular expressions of approval rules, whose cost is bounded: an operator writes them, members choose what they are matched against.
 * Groups under a quantifier, back references and look-around are refused, so that an expression without them is matched in at most
 * as many steps as the product of its quantifiers' reach; keys are short, and quantifiers few.
 */
const quantifiersMax = 3;

const unescaped = (regex: string): string => regex.replace(/\\./gs, '_').replace(/\[(?:[^\]])*\]/g, '_');

/** Why the expression is no rule; `undefined` for one that is. */
export const ruleFault = (regex: string): string | undefined => {
  if (regex === '') return 'the expression is empty';
  if (/\\[1-9k]/.test(regex)) return 'back references are not allowed: their cost has no bound';
  try {
    void new RegExp(regex, 'u');
  } catch (error) {
    return error instanceof Error ? error.message : 'it is no regular expression';
  }
  const plain = unescaped(regex);
  if (/\(\?(?!:|<[A-Za-z])/.test(plain)) return 'look-around is not allowed: its cost has no bound';
  if (/\)[*+?{]/.test(plain)) return 'a quantifier behind a group is not allowed: its cost has no bound';
  return (plain.match(/[*+{]/g)?.length ?? 0) > quantifiersMax ? `more than ${quantifiersMax} quantifiers` : undefined;
};

/** A rule concerns a request where it is found in the key of any change (Corda). */
export const matches = (regex: string, keys: readonly string[]): boolean => {
  const expression = new RegExp(regex, 'u');
  return keys.some((key) => expression.test(key));
};
