/** An author's project: `cordage.json`, or the same fields under `cordage` in `package.json`, beside its own name and version. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import { packageName, packageVersion } from '../manifest.ts';
import { PackageBuildError } from './error.ts';

export type Project = {
  readonly directory: string;
  readonly name: string;
  readonly version: string;
  /** Absolute path of the module whose exports are the flows. */
  readonly entry: string;
};

const settings = z.strictObject({ name: packageName, version: packageVersion, entry: z.string().min(1).max(1_000) });
const packageJson = z.looseObject({ name: z.unknown().optional(), version: z.unknown().optional(), cordage: z.looseObject({}).optional() });

const fault = (reason: string, cause?: unknown): PackageBuildError => new PackageBuildError('BUILD_PROJECT_INVALID', reason, { cause });

const readJson = (path: string): unknown => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw fault(`${path} cannot be read as JSON (${cause instanceof Error ? cause.message : String(cause)}); correct it`, cause);
  }
};

const readSettings = (directory: string): { path: string; value: unknown } => {
  const own = join(directory, 'cordage.json');
  if (existsSync(own)) return { path: own, value: readJson(own) };
  const path = join(directory, 'package.json');
  if (!existsSync(path)) throw fault(`${directory} is no application: it has neither cordage.json nor package.json. Write a cordage.json with "name", "version" and "entry"`);
  const parsed = packageJson.safeParse(readJson(path));
  if (!parsed.success || parsed.data.cordage === undefined) throw fault(`${path} has no "cordage" field. Add { "cordage": { "entry": "flows.ts" } } to it, or write a cordage.json`);
  const { name, version, cordage } = parsed.data;
  return { path, value: { name, version, ...cordage } };
};

export const readProject = (path: string): Project => {
  const directory = resolve(path);
  if (!existsSync(directory) || !statSync(directory).isDirectory()) throw fault(`there is no folder ${directory}; give the folder of the application`);
  const found = readSettings(directory);
  const parsed = settings.safeParse(found.value);
  if (!parsed.success) throw fault(`${found.path}: ${z.prettifyError(parsed.error)}`);
  const entry = resolve(directory, parsed.data.entry);
  if (!existsSync(entry)) throw fault(`${found.path} names the entry ${parsed.data.entry}, but there is no file ${entry}`);
  return { directory, name: parsed.data.name, version: parsed.data.version, entry };
};
