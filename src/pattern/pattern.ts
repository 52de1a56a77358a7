/**
 * Regular expressions of operators, over ASCII: those of Corda's roles, which stand for a whole operation without regard to case, and those
 * of a network's approval rules, which are found in a key.
 *
 * A pattern is compiled to a program (Thompson, 1968) that goes over the text once with the set of places where it can be, so that a match takes
 * at most length of the program × length of the text steps, whatever was written: there is nothing to go back to. What such a
 * program cannot do (references back, looking around, possessive repeats) is refused.
 */

/** Instructions of one program: the longest of Corda's patterns takes some 900. */
export const instructionsMax = 4_000;
/** Groups inside groups. */
const depthMax = 50;
/** UTF-16 code units of a pattern. */
const patternCharsMax = 1_024;

/** `^` and `$`. */
type Edge = 'begin' | 'end';

/** Which characters an instruction takes: a flag for each ASCII character, and one for all others. */
type CharSet = { readonly ascii: Uint8Array; others: boolean };

type Node =
  | { readonly type: 'set'; readonly set: CharSet }
  | { readonly type: 'edge'; readonly edge: Edge }
  | { readonly type: 'sequence'; readonly parts: readonly Node[] }
  | { readonly type: 'choice'; readonly parts: readonly Node[] }
  | { readonly type: 'repeat'; readonly part: Node; readonly min: number; readonly max: number };

/** `set` takes a character, `edge` goes on at one end of the text alone, `split` goes two ways, `jump` one; `match` is the end. */
type Instruction = { readonly type: 'set'; readonly set: CharSet } | { readonly type: 'edge'; readonly edge: Edge } | { readonly type: 'split'; first: number; second: number } | { readonly type: 'jump'; to: number } | { readonly type: 'match' };

export type Pattern = {
  /** `spend` is told the steps that it takes. */
  matches(text: string, spend?: (steps: number) => void): boolean;
};
export type PatternOptions = {
  /** Whether it stands for the whole text, or is found anywhere in it. */
  readonly stands: 'whole' | 'anywhere';
  readonly foldsCase: boolean;
};
export type Compiled = { readonly type: 'pattern'; readonly pattern: Pattern } | { readonly type: 'unusable'; readonly reason: string };

class Unusable extends Error {}
const unusable = (reason: string): never => {
  throw new Unusable(reason);
};

// ── Characters ───────────────────────────────────────────────────────────────────────────────────────────────────────

const emptySet = (): CharSet => ({ ascii: new Uint8Array(128), others: false });

const addCode = (set: CharSet, code: number, foldsCase: boolean): void => {
  set.ascii[code] = 1;
  if (foldsCase && code >= 0x41 && code <= 0x5a) set.ascii[code + 32] = 1;
  if (foldsCase && code >= 0x61 && code <= 0x7a) set.ascii[code - 32] = 1;
};

const addRange = (set: CharSet, from: number, to: number, foldsCase: boolean): void => {
  for (let code = from; code <= to; code++) addCode(set, code, foldsCase);
};

const addAll = (set: CharSet, { ascii, others }: CharSet): void => {
  ascii.forEach((flag, code) => {
    if (flag === 1) set.ascii[code] = 1;
  });
  set.others ||= others;
};

const complement = ({ ascii, others }: CharSet): CharSet => ({ ascii: ascii.map((flag) => 1 - flag), others: !others });

const setOf = (...ranges: readonly (readonly [from: string, to: string])[]): CharSet => {
  const set = emptySet();
  for (const [from, to] of ranges) addRange(set, from.charCodeAt(0), to.charCodeAt(0), true);
  return set;
};

const digits = setOf(['0', '9']);
const words = setOf(['0', '9'], ['a', 'z'], ['_', '_']);
const blanks = setOf(['\t', '\r'], [' ', ' ']);
const classes: ReadonlyMap<string, CharSet> = new Map([
  ['d', digits], ['D', complement(digits)], ['w', words], ['W', complement(words)], ['s', blanks], ['S', complement(blanks)],
]);
const anyChar = complement(setOf(['\n', '\n'], ['\r', '\r']));
/** Line breaks too. */
const everyChar = complement(emptySet());

// ── From text to tree ────────────────────────────────────────────────────────────────────────────────────────────────

class Parser {
  readonly #text: string;
  readonly #options: PatternOptions;
  #at = 0;
  #depth = 0;

  constructor(text: string, options: PatternOptions) {
    this.#text = text;
    this.#options = options;
  }

  parse(): Node {
    if (this.#options.stands === 'whole' && this.#peek() === '^') this.#at++;
    const node = this.#choice();
    if (this.#at < this.#text.length) unusable(`there is a ")" at ${this.#at} that closes nothing`);
    return node;
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #choice(): Node {
    const parts = [this.#sequence()];
    while (this.#peek() === '|') {
      this.#at++;
      parts.push(this.#sequence());
    }
    return parts.length === 1 ? parts[0]! : { type: 'choice', parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      if (this.#options.stands === 'whole' && next === '$' && this.#at === this.#text.length - 1) {
        this.#at++;
        break;
      }
      parts.push(this.#repeats(this.#atom()));
    }
    return { type: 'sequence', parts };
  }

  #atom(): Node {
    const at = this.#at;
    const char = this.#text[this.#at++]!;
    switch (char) {
      case '(':
        return this.#group();
      case '[':
        return { type: 'set', set: this.#bracket() };
      case '.':
        return { type: 'set', set: anyChar };
      case '\\':
        return { type: 'set', set: this.#escape() };
      case '*':
      case '+':
      case '?':
        return unusable(`"${char}" at ${at} repeats nothing`);
      case '^':
      case '$':
        if (this.#options.stands === 'whole') return unusable(`"${char}" at ${at}: a pattern always stands for the whole operation`);
        return { type: 'edge', edge: char === '^' ? 'begin' : 'end' };
      default:
        return { type: 'set', set: this.#literal(char) };
    }
  }

  #literal(char: string): CharSet {
    const code = char.charCodeAt(0);
    if (code > 127) unusable(`"${char}": patterns are ASCII`);
    const set = emptySet();
    addCode(set, code, this.#options.foldsCase);
    return set;
  }

  #group(): Node {
    if (++this.#depth > depthMax) unusable(`groups are more than ${depthMax} deep`);
    if (this.#peek() === '?') {
      if (this.#text[this.#at + 1] !== ':') unusable(`"(?" at ${this.#at - 1}: groups are "(…)" or "(?:…)"`);
      this.#at += 2;
    }
    const node = this.#choice();
    if (this.#peek() !== ')') unusable('a "(" is not closed');
    this.#at++;
    this.#depth--;
    return node;
  }

  #escape(): CharSet {
    const char = this.#text[this.#at++];
    if (char === undefined) return unusable('"\\" at the end escapes nothing');
    const known = classes.get(char);
    if (known !== undefined) return known;
    if (/[A-Za-z0-9]/.test(char)) return unusable(`"\\${char}" is not taken here`);
    return this.#literal(char);
  }

  #bracket(): CharSet {
    const set = emptySet();
    const isNegated = this.#peek() === '^';
    if (isNegated) this.#at++;
    for (let isFirst = true; this.#peek() !== ']' || isFirst; isFirst = false) this.#bracketPart(set);
    this.#at++;
    return isNegated ? complement(set) : set;
  }

  /** A class, a character, or a range of them. */
  #bracketPart(set: CharSet): void {
    const from = this.#bracketChar();
    if (typeof from !== 'number') return addAll(set, from);
    if (this.#peek() !== '-' || this.#text[this.#at + 1] === ']') return addCode(set, from, this.#options.foldsCase);
    this.#at++;
    const to = this.#bracketChar();
    if (typeof to !== 'number' || to < from) return unusable('a range in "[…]" runs from a character to a later one');
    addRange(set, from, to, this.#options.foldsCase);
  }

  #bracketChar(): number | CharSet {
    const char = this.#text[this.#at++];
    if (char === undefined) return unusable('a "[" is not closed');
    if (char === '[') return unusable('"[" inside "[…]" is written "\\["');
    if (char === '&' && this.#peek() === '&') return unusable('"&&" inside "[…]" is not taken here');
    if (char === '\\') {
      const known = classes.get(this.#peek() ?? '');
      if (known !== undefined) {
        this.#at++;
        return known;
      }
      const escaped = this.#text[this.#at++];
      if (escaped === undefined || /[A-Za-z0-9]/.test(escaped)) return unusable(`"\\${escaped ?? ''}" is not taken here`);
      return this.#codeOf(escaped);
    }
    return this.#codeOf(char);
  }

  #codeOf(char: string): number {
    const code = char.charCodeAt(0);
    return code > 127 ? unusable(`"${char}": patterns are ASCII`) : code;
  }

  #repeats(part: Node): Node {
    let node = part;
    for (let count = this.#count(); count !== undefined; count = this.#count()) {
      // Lazy or not is the same where the whole text must match.
      if (this.#peek() === '?') this.#at++;
      if (this.#peek() === '+') unusable('possessive repeats are not taken here');
      node = { type: 'repeat', part: node, ...count };
    }
    return node;
  }

  #count(): { min: number; max: number } | undefined {
    const char = this.#peek();
    const simple = char === '*' ? { min: 0, max: Infinity } : char === '+' ? { min: 1, max: Infinity } : char === '?' ? { min: 0, max: 1 } : undefined;
    if (simple !== undefined) {
      this.#at++;
      return simple;
    }
    if (char !== '{') return undefined;
    const [whole, least, comma, most] = /^\{(\d{1,4})(,)?(\d{1,4})?\}/.exec(this.#text.slice(this.#at, this.#at + 12)) ?? [];
    if (whole === undefined || (comma === undefined && most !== undefined)) return unusable(`"{" at ${this.#at} begins no repeat such as {1,30}; write "\\{" for itself`);
    const min = Number(least);
    const max = most !== undefined ? Number(most) : comma === undefined ? min : Infinity;
    if (max < min) return unusable(`${whole} repeats from more to less`);
    this.#at += whole.length;
    return { min, max };
  }
}

// ── From tree to program ─────────────────────────────────────────────────────────────────────────────────────────────

const assemble = (root: Node, { stands }: PatternOptions): Instruction[] => {
  const program: Instruction[] = [];
  const add = <One extends Instruction>(instruction: One): One => {
    if (program.length >= instructionsMax) unusable(`it is too long once its repeats are written out (more than ${instructionsMax} steps)`);
    program.push(instruction);
    return instruction;
  };
  const optional = (emitPart: () => void): void => {
    const split = add({ type: 'split', first: program.length + 1, second: 0 });
    emitPart();
    split.second = program.length;
  };
  const emitRepeat = ({ part, min, max }: Extract<Node, { type: 'repeat' }>): void => {
    for (let i = 0; i < min; i++) emit(part);
    if (max === Infinity) {
      const start = program.length;
      optional(() => {
        emit(part);
        add({ type: 'jump', to: start });
      });
      return;
    }
    const splits: Extract<Instruction, { type: 'split' }>[] = [];
    for (let i = min; i < max; i++) {
      splits.push(add({ type: 'split', first: program.length + 1, second: 0 }));
      emit(part);
    }
    for (const split of splits) split.second = program.length;
  };
  const emitChoice = (parts: readonly Node[]): void => {
    const jumps: Extract<Instruction, { type: 'jump' }>[] = [];
    parts.forEach((part, i) => {
      if (i === parts.length - 1) return emit(part);
      optional(() => {
        emit(part);
        jumps.push(add({ type: 'jump', to: 0 }));
      });
    });
    for (const jump of jumps) jump.to = program.length;
  };
  const emit = (node: Node): void => {
    switch (node.type) {
      case 'set':
        return void add({ type: 'set', set: node.set });
      case 'edge':
        return void add({ type: 'edge', edge: node.edge });
      case 'sequence':
        return node.parts.forEach(emit);
      case 'choice':
        return emitChoice(node.parts);
      case 'repeat':
        return emitRepeat(node);
    }
  };
  // What is found anywhere may begin behind any text.
  if (stands === 'anywhere') emit({ type: 'repeat', part: { type: 'set', set: everyChar }, min: 0, max: Infinity });
  emit(root);
  program.push({ type: 'match' });
  return program;
};

// ── Running ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const run = (program: readonly Instruction[], text: string, { stands }: PatternOptions, spend: (steps: number) => void): boolean => {
  /** At which turn a place was entered last: each is entered once a turn. */
  const entered = new Int32Array(program.length).fill(-1);
  const stack: number[] = [];
  let here: number[] = [];
  let steps = 0;
  let ends = false;
  const enter = (start: number, turn: number, into: number[]): void => {
    stack.push(start);
    for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
      if (entered[place] === turn) continue;
      entered[place] = turn;
      steps++;
      const instruction = program[place]!;
      switch (instruction.type) {
        case 'jump':
          stack.push(instruction.to);
          break;
        case 'split':
          stack.push(instruction.second, instruction.first);
          break;
        case 'edge':
          if (turn === (instruction.edge === 'begin' ? 0 : text.length)) stack.push(place + 1);
          break;
        case 'match':
          ends = true;
          break;
        case 'set':
          into.push(place);
      }
    }
  };
  enter(0, 0, here);
  for (let at = 0; at < text.length; at++) {
    if (ends && stands === 'anywhere') break;
    ends = false;
    if (here.length === 0) break;
    const code = text.charCodeAt(at);
    const next: number[] = [];
    for (const place of here) {
      // Only such places are kept.
      const { set } = program[place] as Extract<Instruction, { type: 'set' }>;
      if (code < 128 ? set.ascii[code] === 1 : set.others) enter(place + 1, at + 1, next);
    }
    steps += here.length;
    here = next;
  }
  spend(steps);
  return ends;
};

export const compilePattern = (text: string, options: PatternOptions = { stands: 'whole', foldsCase: true }): Compiled => {
  if (text.length > patternCharsMax) return { type: 'unusable', reason: `it is longer than ${patternCharsMax} characters` };
  try {
    const program = assemble(new Parser(text, options).parse(), options);
    return { type: 'pattern', pattern: { matches: (given, spend = () => {}) => run(program, given, options, spend) } };
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    return { type: 'unusable', reason: error.message };
  }
};
