/** `cordage context …`: which clusters there are, and which of them is spoken to. */
import { parseArgs } from 'node:util';
import { usageError } from '../arguments.ts';
import { checkName, contextOf, contextsPath, parseUrl, readContexts, writeContexts } from './contexts.ts';
import { passwordOf } from './password.ts';

export const contextUsage = `cordage context add <name> --url <url> [--user <login>] [--password <text>] [--token <text>]
cordage context use|remove <name>
cordage context list [--json]

  Names a cluster and how to log in there, for all commands that speak to one. The first that is added is used from then on.
  Names and secrets are kept in ${'`'}contexts.json${'`'} in your config folder ($XDG_CONFIG_HOME/cordage, else ~/.config/cordage), readable by you alone.
  --url            REST of the cluster, for instance https://rest.example:8888
  --user           a login (default admin)
  --password       its password; else CORDAGE_PASSWORD, else it is asked for
  --token          a bearer token, in place of login and password`;

const text = { type: 'string' } as const;

const add = async (args: readonly string[]): Promise<void> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { url: text, user: { ...text, default: 'admin' }, password: text, token: text } });
  const [name, ...rest] = positionals;
  if (name === undefined || rest.length > 0) throw usageError('context add takes one name');
  if (values.url === undefined) throw usageError('context add needs --url');
  const login = values.token === undefined ? { login: values.user, password: values.password ?? (await passwordOf(values.user)) } : { token: values.token };
  const { contexts, current } = readContexts();
  const added = { url: parseUrl(values.url), ...login };
  writeContexts({ v: 1, current: current ?? name, contexts: { ...contexts, [checkName(name)]: added } });
  console.log(`${name}: ${added.url}${current === null || current === name ? ', used from now on' : `; \`cordage context use ${name}\` turns to it`} (${contextsPath()})`);
};

const nameIn = (command: string, args: readonly string[]): string => {
  const [name, ...rest] = args;
  if (name === undefined || rest.length > 0) throw usageError(`context ${command} takes one name`);
  contextOf(name);
  return name;
};

const use = (args: readonly string[]): void => {
  const name = nameIn('use', args);
  writeContexts({ ...readContexts(), current: name });
  console.log(`${name}: ${contextOf(name).url}`);
};

const remove = (args: readonly string[]): void => {
  const name = nameIn('remove', args);
  const { contexts, current } = readContexts();
  writeContexts({ v: 1, current: current === name ? null : current, contexts: Object.fromEntries(Object.entries(contexts).filter(([other]) => other !== name)) });
};

const list = (args: readonly string[]): void => {
  const { values } = parseArgs({ args: [...args], options: { json: { type: 'boolean', default: false } } });
  const { contexts, current } = readContexts();
  // Secrets are shown to nobody.
  const shown = Object.entries(contexts).map(([name, { url, login, token }]) => ({ name, url, login: token === undefined ? (login ?? '') : '(token)', current: name === current }));
  if (values.json) console.log(JSON.stringify(shown, null, 2));
  else if (shown.length === 0) console.log('(none; `cordage context add <name> --url <url>` makes one)');
  else for (const one of shown) console.log(`${one.current ? '*' : ' '} ${one.name.padEnd(Math.max(...shown.map(({ name }) => name.length)))}  ${one.url}  ${one.login}`);
};

export const context = async ([verb, ...args]: readonly string[]): Promise<number> => {
  switch (verb) {
    case 'add':
      await add(args);
      return 0;
    case 'use':
      use(args);
      return 0;
    case 'remove':
      remove(args);
      return 0;
    case 'list':
      list(args);
      return 0;
    default:
      throw usageError('context knows add, use, remove and list');
  }
};
