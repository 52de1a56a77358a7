/** Files: text beside a source file that is not code, and text that must survive a loss of power. */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Named relative to `import.meta.url`. */
export const readTextBeside = (importMetaUrl: string, relative: string): string => readFileSync(new URL(relative, importMetaUrl), 'utf8');

/** Names of the files in a folder, sorted. */
export const listBeside = (importMetaUrl: string, relative: string): string[] => readdirSync(new URL(relative, importMetaUrl)).sort();

const sync = (path: string): void => {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
};

/** Replaces a file, whole or not at all, on the disk when it returns; readable by its owner only. */
export const writeDurably = (path: string, text: string): void => {
  const draft = `${path}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  sync(draft);
  renameSync(draft, path);
  sync(dirname(path));
};
