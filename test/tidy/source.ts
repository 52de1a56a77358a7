/** Reads the source tree as text: files, and the imports between them. What the laws are checked against. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export type SourceFile = { readonly path: string; readonly text: string; readonly imports: readonly Import[] };
export type Import = { readonly specifier: string; readonly typeOnly: boolean; readonly target: string | undefined };

/** What was installed or is made by a tool is not ours to keep tidy. */
const isForeign = (name: string): boolean => name === 'node_modules' || name === 'generated' || name.startsWith('.');

const walk = (folder: string): string[] => {
  const entries = readdirSync(folder).sort();
  return entries.flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return isForeign(name) ? [] : walk(path);
    return name.endsWith('.ts') ? [path] : [];
  });
};

const importPattern = /(?:^|\n)\s*(import|export)\s+(type\s+)?(?:[\w*{][^;'"]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|new URL\(\s*['"](\.[^'"]+\.ts)['"]/g;

const importsOf = (path: string, text: string): Import[] =>
  [...text.matchAll(importPattern)].flatMap((match) => {
    const specifier = match[3] ?? match[4] ?? match[5];
    if (specifier === undefined) return [];
    const target = specifier.startsWith('.') ? posix.normalize(posix.join(posix.dirname(path), specifier)) : undefined;
    return [{ specifier, typeOnly: match[2] !== undefined, target }];
  });

/** Files below the given top-level folders, by path from the root with forward slashes. */
export const readSources = (...folders: readonly string[]): SourceFile[] =>
  folders
    .flatMap((folder) => walk(join(root, folder)))
    .map((absolute) => {
      const path = relative(root, absolute).split(sep).join('/');
      const text = readFileSync(absolute, 'utf8');
      return { path, text, imports: importsOf(path, text) };
    });
