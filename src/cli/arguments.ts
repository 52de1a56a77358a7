/** What the commands share in reading their arguments and in showing paths. */
import { isAbsolute, relative } from 'node:path';

/** The same kind of error as the parser's own, so that the usage is shown. */
export const usageError = (message: string): Error => Object.assign(new Error(message), { code: 'ERR_PARSE_ARGS_CORDAGE' });

export const portOf = (name: string, text: string): number => {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1024 && port <= 65_000) return port;
  throw usageError(`--${name} must be a port from 1024 to 65000, not "${text}"`);
};

/** Paths below the working directory are shown from there, others whole. */
export const shown = (path: string): string => {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') || isAbsolute(short) ? path : short || '.';
};
