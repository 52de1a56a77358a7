/** The `cordage` command line. Each command's file is loaded when it is asked for, so that one command pays nothing for another. */

import { exitCodeOf, exitCodes, type ExitCode } from './exit-codes.ts';

type Command = {
  /** What the command is and takes, with its options. */
  readonly usage: () => Promise<string>;
  /** Runs the command; the answer is the exit status. */
  readonly run: (args: readonly string[]) => Promise<number>;
};

/** By their words. The longest match wins. */
const commands: Readonly<Record<string, Command>> = {
  start: {
    usage: async () => (await import('./start.ts')).startUsage,
    run: async (args) => (await import('./start.ts')).start(args),
  },
  dev: {
    usage: async () => (await import('./dev.ts')).devUsage,
    run: async (args) => (await import('./dev.ts')).dev(args),
  },
  'flow inspect': {
    usage: async () => (await import('./flow/inspect.ts')).inspectUsage,
    run: async (args) => (await import('./flow/inspect.ts')).inspect(args),
  },
  'flow replay': {
    usage: async () => (await import('./flow/replay.ts')).replayUsage,
    run: async (args) => (await import('./flow/replay.ts')).replay(args),
  },
  'package build': {
    usage: async () => (await import('./package-build.ts')).packageBuildUsage,
    run: async (args) => (await import('./package-build.ts')).packageBuild(args),
  },
  context: {
    usage: async () => (await import('./context/context.ts')).contextUsage,
    run: async (args) => (await import('./context/context.ts')).context(args),
  },
  'config encrypt': {
    usage: async () => (await import('./config-encrypt.ts')).configEncryptUsage,
    run: async (args) => (await import('./config-encrypt.ts')).configEncrypt(args),
  },
  completion: {
    usage: async () => (await import('./completion.ts')).completionUsage,
    run: async (args) => (await import('./completion.ts')).completion(args, Object.keys(commands)),
  },
  'topics apply': {
    usage: async () => (await import('./topics.ts')).topicsApplyUsage,
    run: async (args) => (await import('./topics.ts')).topicsApply(args),
  },
  'package cpi': {
    usage: async () => (await import('./package-cpi.ts')).packageCpiUsage,
    run: async (args) => (await import('./package-cpi.ts')).packageCpi(args),
  },
  'network create': {
    usage: async () => (await import('./dynamic-network/create-command.ts')).networkCreateUsage,
    run: async (args) => (await import('./dynamic-network/create-command.ts')).networkCreate(args),
  },
  'network join': {
    usage: async () => (await import('./dynamic-network/join-command.ts')).networkJoinUsage,
    run: async (args) => (await import('./dynamic-network/join-command.ts')).networkJoin(args),
  },
  'network list': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkListUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkList(args),
  },
  'network approve': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkApproveUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkApprove(args),
  },
  'network decline': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkDeclineUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkDecline(args),
  },
  'network token': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkTokenUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkToken(args),
  },
  'network allow': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkAllowUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkAllow(args),
  },
  'network suspend': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkSuspendUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkSuspend(args),
  },
  'network activate': {
    usage: async () => (await import('./dynamic-network/operate.ts')).networkActivateUsage,
    run: async (args) => (await import('./dynamic-network/operate.ts')).networkActivate(args),
  },
};

const helpText = async (): Promise<string> => {
  const usages = await Promise.all(Object.values(commands).map(({ usage }) => usage()));
  const { readOperations } = await import('./rest/operations.ts');
  const nouns = [...new Set(readOperations().map(({ noun }) => noun))].sort();
  const operations = `cordage <noun> <verb> …\n\n  Any operation of a cluster's REST API. Nouns: ${nouns.join(', ')}.\n  cordage <noun> lists its verbs.`;
  return ['Cordage: multi-party workflows between organisations.', ...usages, operations, 'cordage <command> --help shows one command.'].join('\n\n');
};

const isHelp = (arg: string | undefined): boolean => arg === '--help' || arg === '-h' || arg === 'help';

/** Node's own parser of options throws errors of these codes; they are the caller's, not ours. */
const isUsageError = (error: unknown): error is Error => error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');

/** What a person can do about it, where the error does not say so itself. */
const remedyOf = (code: ExitCode): string => {
  switch (code) {
    case exitCodes.unreachable:
      return '\n  the cluster does not answer; is it running? Another is named by --url, --context or --state';
    case exitCodes.forbidden:
      return '\n  the login was refused, or may not do this; give another by --user and --password, or --token';
    default:
      return '';
  }
};

/** Details of a refusal that its title does not show. */
const detailsOf = (error: Error): string => {
  if (!('details' in error) || typeof error.details !== 'object' || error.details === null) return '';
  return Object.entries(error.details).map(([name, value]) => `\n  ${name}: ${String(value)}`).join('');
};

/** What went wrong is in the message; of a programmer's error the stack is wanted too. */
const report = (error: unknown, code: ExitCode): void => {
  if (error instanceof Error && !(error instanceof TypeError || error instanceof ReferenceError)) console.error(`cordage: ${error.message}${detailsOf(error)}${remedyOf(code)}`);
  else console.error(error);
};

const runCommand = async ({ usage, run }: Command, args: readonly string[]): Promise<number> => {
  if (args.some((arg) => arg === '--help' || arg === '-h')) {
    console.log(await usage());
    return 0;
  }
  try {
    return await run(args);
  } catch (error) {
    if (isUsageError(error)) {
      console.error(`cordage: ${error.message}\n\n${await usage()}`);
      return exitCodes.usage;
    }
    const code = exitCodeOf(error);
    report(error, code);
    return code;
  }
};

/** Commands that the routes of the REST API make; loaded last, since they load all of its shapes. */
const runGenerated = async (args: readonly string[]): Promise<number> => {
  const { findOperation, nounUsage, operationsOf, operationUsage, runOperation } = await import('./rest/run.ts');
  const operation = findOperation(args);
  if (operation !== undefined) return runCommand({ usage: async () => operationUsage(operation), run: (rest) => runOperation(operation, rest) }, args.slice(2));
  const [noun, verb] = args;
  const known = operationsOf(noun).length > 0;
  if (known && (verb === undefined || isHelp(verb))) {
    const own = Object.keys(commands).filter((words) => words.startsWith(`${noun} `));
    console.log([nounUsage(noun!), ...(own.length === 0 ? [] : ['', 'Commands of several operations:', ...own.map((words) => `  cordage ${words}`)])].join('\n'));
    return verb === undefined ? exitCodes.usage : exitCodes.done;
  }
  console.error(`cordage: there is no command "${args.slice(0, 2).join(' ')}". ${known ? `See cordage ${noun}.` : 'See cordage --help.'}`);
  return exitCodes.usage;
};

/** Runs a command line; the answer is the exit status. */
export const runCommandLine = async (args: readonly string[]): Promise<number> => {
  if (args.length === 0 || isHelp(args[0])) {
    console.log(await helpText());
    return args.length === 0 ? exitCodes.usage : exitCodes.done;
  }
  for (const [words, command] of Object.entries(commands)) {
    const { length } = words.split(' ');
    if (args.slice(0, length).join(' ') === words) return runCommand(command, args.slice(length));
  }
  return runGenerated(args);
};
