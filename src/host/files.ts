/** Files that lie beside a source file: SQL and other text that is not code. Named relative to `import.meta.url`. */
import { readdirSync, readFileSync } from 'node:fs';

export const readTextBeside = (importMetaUrl: string, relative: string): string => readFileSync(new URL(relative, importMetaUrl), 'utf8');

/** Names of the files in a folder, sorted. */
export const listBeside = (importMetaUrl: string, relative: string): string[] => readdirSync(new URL(relative, importMetaUrl)).sort();
