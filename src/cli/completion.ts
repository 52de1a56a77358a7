/** `cordage completion bash|zsh`: a script that completes nouns, verbs and flags. */
import { usageError } from './arguments.ts';
import { connectionOptions } from './rest/connection.ts';
import { readOperations } from './rest/operations.ts';

export const completionUsage = `cordage completion bash|zsh

  Prints a script that completes commands and their flags:
    source <(cordage completion bash)      in ~/.bashrc
    source <(cordage completion zsh)       in ~/.zshrc, behind compinit`;

type Words = { readonly first: readonly string[]; readonly second: ReadonlyMap<string, readonly string[]>; readonly flags: ReadonlyMap<string, readonly string[]> };

const common = [...Object.keys(connectionOptions), 'json', 'help'].map((flag) => `--${flag}`);

/** @param commands by their words, beside those that the REST API makes. */
const wordsOf = (commands: readonly string[]): Words => {
  const second = new Map<string, string[]>();
  const flags = new Map<string, readonly string[]>();
  const add = (noun: string, verb: string): void => void second.set(noun, [...(second.get(noun) ?? []), verb]);
  for (const { noun, verb, options, takesJson } of readOperations()) {
    add(noun, verb);
    flags.set(`${noun} ${verb}`, [...options.map(({ flag }) => `--${flag}`), ...(takesJson ? ['--body'] : []), '--wait', '--timeout', '--out', ...common]);
  }
  for (const [noun = '', verb] of commands.map((words) => words.split(' '))) {
    if (verb !== undefined) add(noun, verb);
    else if (!second.has(noun)) second.set(noun, noun === 'context' ? ['add', 'use', 'list', 'remove'] : noun === 'completion' ? ['bash', 'zsh'] : []);
  }
  return { first: [...second.keys()].sort(), second, flags };
};

/** Lines of a `case`, by what was typed so far. */
const casesOf = (words: ReadonlyMap<string, readonly string[]>): string => [...words].map(([typed, next]) => `    '${typed}') next='${next.join(' ')}' ;;`).join('\n');

const choose = ({ first, second, flags }: Words): string => `  local next=
  case "$typed" in
    '') next='${first.join(' ')}' ;;
${casesOf(second)}
${casesOf(flags)}
  esac`;

const bash = (words: Words): string => `_cordage() {
  local current="\${COMP_WORDS[COMP_CWORD]}" count=$COMP_CWORD typed=
  [ "$count" -gt 3 ] && count=3
  typed="\${COMP_WORDS[*]:1:$((count - 1))}"
${choose(words)}
  if [ -z "$next" ]; then COMPREPLY=($(compgen -f -- "$current")); else COMPREPLY=($(compgen -W "$next" -- "$current")); fi
}
complete -o default -F _cordage cordage
`;

const zsh = (words: Words): string => `#compdef cordage
_cordage() {
  local count=$CURRENT typed=
  [ "$count" -gt 4 ] && count=4
  typed="\${words[2,$((count - 1))]}"
  local -a found
  _cordage_words "$typed"
  found=(\${=reply})
  if [ \${#found} -eq 0 ]; then _files; else compadd -a found; fi
}
_cordage_words() {
  local typed="$1"
${choose(words)}
  reply="$next"
}
compdef _cordage cordage
`;

export const completion = async ([shell]: readonly string[], commands: readonly string[]): Promise<number> => {
  const words = wordsOf(commands);
  if (shell === 'bash') console.log(bash(words));
  else if (shell === 'zsh') console.log(zsh(words));
  else throw usageError('completion is made for bash and zsh');
  return 0;
};
