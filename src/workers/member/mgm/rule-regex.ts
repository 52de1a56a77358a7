/**
 * Regular expressions of approval rules: an operator writes them, members choose what they are matched against, so a match must cost no
 * more than the length of both (src/pattern).
 */
import { compilePattern } from '../../../pattern/pattern.ts';
import { ruleStepsMax } from '../config.ts';

const compile = (regex: string) => compilePattern(regex, { stands: 'anywhere', foldsCase: false });

/** Why the expression is no rule; `undefined` for one that is. */
export const ruleFault = (regex: string): string | undefined => {
  if (regex === '') return 'the expression is empty';
  const compiled = compile(regex);
  return compiled.type === 'unusable' ? compiled.reason : undefined;
};

/**
 * Whether a rule concerns a request: it is found in the key of any change (Corda). Where the keys are so many and long that matching them
 * would take more than its share of time, an operator is to look, as if a rule had matched.
 */
export const someMatches = (regexes: readonly string[], keys: readonly string[]): boolean => {
  let steps = 0;
  for (const regex of regexes) {
    const compiled = compile(regex);
    // It was found fit when it was made.
    if (compiled.type === 'unusable') return true;
    for (const key of keys) {
      if (compiled.pattern.matches(key, (taken) => (steps += taken)) || steps > ruleStepsMax) return true;
    }
  }
  return false;
};
