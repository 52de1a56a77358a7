/** `cordage <noun> <verb>`: any operation of the REST API, by its own declaration. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { followFlow } from '../../rest-client/follow-flow.ts';
import type { RestClient } from '../../rest-client/rest-client.ts';
import { usageError } from '../arguments.ts';
import { columnsOf, type Columns } from './columns.ts';
import { connect, connectionOptions, connectionUsage, type About, type ConnectionArguments } from './connection.ts';
import { fileArgumentOf, isRepeated, readGiven, type Given } from './given.ts';
import { readOperations, type Operation, type Option } from './operations.ts';
import { readable } from './table.ts';
import { waitOf } from './wait.ts';

/** Characters of a table's cell on a screen; elsewhere nothing is cut. */
const cellCharsMax = 60;

const own = {
  json: { type: 'boolean', default: false },
  wait: { type: 'boolean', default: false },
  timeout: { type: 'string' },
  body: { type: 'string' },
  out: { type: 'string' },
} as const;

export const findOperation = ([noun, verb]: readonly string[]): Operation | undefined => readOperations().find((one) => one.noun === noun && one.verb === verb);
export const operationsOf = (noun: string | undefined): readonly Operation[] => readOperations().filter((one) => one.noun === noun);

// ── Usage ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const wordOf = ({ shape }: Option): string => {
  if (shape.format === 'binary' || (shape.type === 'array' && shape.items?.format === 'binary')) return '<file>';
  if (shape.enum !== undefined) return `<${shape.enum.join('|')}>`;
  if (shape.type === 'boolean') return '<true|false>';
  if (shape.type === 'integer' || shape.type === 'number') return '<number>';
  if (shape.type === 'array') return shape.items?.type === 'string' ? '<text>' : '<json>';
  if (shape.type === 'object') return shape.properties === undefined ? '<key=value>' : '<json|@file>';
  return shape.type === 'string' ? '<text>' : '<json|@file>';
};

const optionLine = (option: Option): string =>
  `  --${option.flag.padEnd(14)} ${wordOf(option)}${isRepeated(option) ? ', may be repeated' : ''}${option.required ? '' : ' (may be left out)'}`;

const synopsisOf = (operation: Operation): string => {
  const file = fileArgumentOf(operation);
  const words = operation.positionals.map((name) => `<${name}>`);
  const needed = operation.options.filter(({ required }) => required).map((option) => (option === file ? `<file>` : `--${option.flag} ${wordOf(option)}`));
  return ['cordage', operation.noun, operation.verb, ...words, ...needed, '[options]'].join(' ');
};

export const operationUsage = (operation: Operation): string =>
  [
    synopsisOf(operation),
    '',
    `  ${operation.summary}.`,
    ...operation.options.map(optionLine),
    ...(operation.takesJson ? ['  --body           <json|@file|-> the whole body; flags above add to it'] : []),
    ...(waitOf(operation.name) === undefined ? [] : ['  --wait           until it has ended, at most --timeout seconds']),
    '  --json           the answer for programs, as the server gives it',
    ...(operation.streams ? [] : ['  --out            <file> for the answer, in place of the screen']),
    connectionUsage,
    '',
    `  REST: ${operation.name}`,
  ].join('\n');

export const nounUsage = (noun: string): string => {
  const verbs = operationsOf(noun).toSorted((one, other) => (one.verb < other.verb ? -1 : 1));
  const width = Math.max(...verbs.map(({ verb }) => verb.length));
  return [`cordage ${noun} <verb>`, '', ...verbs.map(({ verb, summary }) => `  ${verb.padEnd(width)}  ${summary}`), '', `cordage ${noun} <verb> --help shows one.`].join('\n');
};

// ── Running ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const parserOptionsOf = (operation: Operation): ParseArgsOptionsConfig => ({
  ...connectionOptions,
  ...own,
  ...Object.fromEntries(operation.options.map((option) => [option.flag, { type: 'string' as const, multiple: isRepeated(option) }])),
});

const timeoutMsOf = (text: unknown): number | undefined => {
  if (typeof text !== 'string') return undefined;
  const seconds = Number(text);
  if (!(seconds > 0)) throw usageError(`--timeout is a number of seconds, not "${text}"`);
  return seconds * 1000;
};

const aboutOf = (words: readonly string[]): About | undefined => {
  const shortHash = words.find((word) => /^[0-9A-Fa-f]{12}$/.test(word));
  return shortHash === undefined ? undefined : { shortHash, hostedThere: false };
};

type Printing = { readonly json: boolean; readonly out: string | undefined; readonly columns: Columns | undefined };

const print = async (value: unknown, { json, out, columns }: Printing): Promise<void> => {
  const text = json ? JSON.stringify(value ?? null, null, 2) : readable(value, process.stdout.isTTY && out === undefined ? cellCharsMax : Infinity, columns);
  if (out === undefined) return console.log(text);
  const { writeFile } = await import('node:fs/promises');
  await writeFile(out, `${text}\n`);
};

const follow = async (client: RestClient, { path }: Given, json: boolean): Promise<void> => {
  for await (const status of followFlow(client, path['holdingidentityshorthash']!, path['clientrequestid']!)) {
    console.log(json ? JSON.stringify(status) : `${status.timestamp}  ${status.flowStatus}${status.flowResult === null ? '' : `  ${status.flowResult}`}${status.flowError === null ? '' : `  ${status.flowError.message}`}`);
  }
};

/** Under its name only when it is whole; readable by its owner alone, since a file of a cluster may hold what only an operator should read. */
const save = async (client: RestClient, operation: Operation, given: Given, out: unknown): Promise<void> => {
  if (typeof out !== 'string') throw usageError(`${operation.noun} ${operation.verb} gives a file: say where with --out <file>`);
  // The name is that of a route whose answer is a file.
  const { body } = await client.open(operation.name as 'GET /cpi', given);
  if (body === null) throw new Error('the answer has no file');
  const [{ createWriteStream }, { rename }, { pipeline }] = await Promise.all([import('node:fs'), import('node:fs/promises'), import('node:stream/promises')]);
  await pipeline(body, createWriteStream(`${out}.part`, { mode: 0o600 }));
  await rename(`${out}.part`, out);
};

export const runOperation = async (operation: Operation, args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: parserOptionsOf(operation) });
  // `parseArgs` knows the types of options that are written out; these are put together.
  const typed = { positionals, values: values as Record<string, string | boolean | string[] | undefined> };
  const given = await readGiven(operation, typed);
  const wait = waitOf(operation.name);
  if (values['wait'] === true && wait === undefined) throw usageError(`${operation.noun} ${operation.verb} has ended when it answers; leave --wait out`);
  const timeoutMs = timeoutMsOf(values['timeout']);
  // The flags of a connection are texts, as declared above.
  const client = await connect(values as ConnectionArguments, aboutOf(Object.values(given.path)));
  const json = values['json'] === true;
  if (operation.streams) {
    await follow(client, given, json);
    return 0;
  }
  if (operation.givesFile) {
    await save(client, operation, given, values['out']);
    return 0;
  }
  // The name is that of a route, and what it takes was read by its own declaration; which one it is, is not known before it runs.
  const value: unknown = await client.call(operation.name as 'GET /cpi', given);
  if (values['wait'] === true && process.stderr.isTTY) console.error(`  accepted, ${operation.noun} ${operation.verb} goes on …`);
  const ended = values['wait'] === true && wait !== undefined ? await wait({ client, given, value, timeoutMs }) : value;
  await print(ended, { json, out: typeof values['out'] === 'string' ? values['out'] : undefined, columns: columnsOf(operation.name) });
  return 0;
};
