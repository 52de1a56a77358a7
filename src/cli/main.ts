#!/usr/bin/env node
/** The `cordage` command. Each command's file is loaded when it is asked for, so that one command pays nothing for another. */

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
  'package cpi': {
    usage: async () => (await import('./package-cpi.ts')).packageCpiUsage,
    run: async (args) => (await import('./package-cpi.ts')).packageCpi(args),
  },
};

const usageStatus = 2;

const helpText = async (): Promise<string> => {
  const usages = await Promise.all(Object.values(commands).map(({ usage }) => usage()));
  return ['Cordage: multi-party workflows between organisations.', ...usages, 'cordage <command> --help shows one command.'].join('\n\n');
};

const isHelp = (arg: string | undefined): boolean => arg === '--help' || arg === '-h' || arg === 'help';

/** Node's own parser of options throws errors of these codes; they are the caller's, not ours. */
const isUsageError = (error: unknown): error is Error => error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');

/** What went wrong is in the message; of a programmer's error the stack is wanted too. */
const report = (error: unknown): void => {
  if (error instanceof Error && !(error instanceof TypeError || error instanceof ReferenceError)) console.error(`cordage: ${error.message}`);
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
      return usageStatus;
    }
    report(error);
    return 1;
  }
};

const main = async (args: readonly string[]): Promise<number> => {
  if (args.length === 0 || isHelp(args[0])) {
    console.log(await helpText());
    return args.length === 0 ? usageStatus : 0;
  }
  for (const [words, command] of Object.entries(commands)) {
    const { length } = words.split(' ');
    if (args.slice(0, length).join(' ') === words) return runCommand(command, args.slice(length));
  }
  const known = Object.keys(commands).map((words) => `cordage ${words}`);
  console.error(`cordage: there is no command "${args.slice(0, 2).join(' ')}". Known commands: ${known.join(', ')}. See cordage --help.`);
  return usageStatus;
};

process.exitCode = await main(process.argv.slice(2));
