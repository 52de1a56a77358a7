/** One JSON object a line. `event` is a stable, lower-case name; everything else is a field. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export type Log = {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log whose lines carry these fields too. */
  with(fields: LogFields): Log;
};

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export type LogOptions = {
  readonly level: LogLevel;
  readonly fields?: LogFields;
  /** Takes one line without its end. Default: standard output through `console.log`. */
  readonly write?: (line: string) => void;
  readonly now?: () => number;
};

/** An error as fields: its chain of causes, without the stack unless it is a programmer's error. */
const errorFields = (error: Error): LogFields => ({
  name: error.name,
  message: error.message,
  ...('code' in error ? { code: error.code } : {}),
  ...(error instanceof TypeError || error instanceof ReferenceError ? { stack: error.stack } : {}),
  ...(error.cause instanceof Error ? { cause: errorFields(error.cause) } : {}),
});

const replacer = (_key: string, value: unknown): unknown => {
  if (value instanceof Error) return errorFields(value);
  return typeof value === 'bigint' ? String(value) : value;
};

export const createLog = (options: LogOptions): Log => {
  // oxlint-disable-next-line no-console -- the log's own exit
  const { level, fields = {}, write = (line: string) => console.log(line), now = Date.now } = options;
  const say = (lineLevel: LogLevel) => (event: string, lineFields?: LogFields) => {
    if (ranks[lineLevel] < ranks[level]) return;
    write(JSON.stringify({ at: new Date(now()).toISOString(), level: lineLevel, event, ...fields, ...lineFields }, replacer));
  };
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    with: (more) => createLog({ ...options, fields: { ...fields, ...more } }),
  };
};

export const silentLog: Log = createLog({ level: 'error', write: () => {} });
