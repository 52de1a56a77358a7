/** Tells when a project's sources have changed: by the operating system's own events, gathered into one call. */
import { readdirSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';

/** An editor writes a file in several steps, and saves several files together. */
const quietMs = 30;

/** Folders that hold no sources, at any depth. */
const ignored = new Set(['node_modules', '.git', '.cordage', 'dist', 'coverage']);

const isSource = (name: string): boolean => /\.(ts|mts|js|mjs|json)$/.test(name);

/**
 * Watches every folder below this one, each by itself: Node's own recursive watch loses a file that an editor replaces by renaming
 * another to its name.
 */
const watchFolders = (root: string, onSource: () => void): (() => void) => {
  const watchers = new Map<string, FSWatcher>();
  const forget = (folder: string): void => {
    watchers.get(folder)?.close();
    watchers.delete(folder);
  };
  const foldersIn = (folder: string): string[] => {
    try {
      return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() && !ignored.has(entry.name) ? [join(folder, entry.name)] : []));
    } catch {
      // It was removed a moment ago.
      return [];
    }
  };
  const add = (folder: string): void => {
    if (!watchers.has(folder)) {
      const watcher = watch(folder, (_event, name) => {
        for (const inner of foldersIn(folder)) add(inner);
        if (name !== null && isSource(name)) onSource();
      });
      watcher.on('error', () => forget(folder));
      watchers.set(folder, watcher);
    }
    for (const inner of foldersIn(folder)) if (!watchers.has(inner)) add(inner);
  };
  add(root);
  return () => {
    for (const folder of watchers.keys()) forget(folder);
  };
};

export type Watch = { close(): void };

/** `onChange` is told when the first of the events came (`performance.now()`); calls do not overlap, and none is forgotten. */
export const watchProject = (directory: string, onChange: (since: number) => Promise<void>): Watch => {
  let since: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  const run = async (): Promise<void> => {
    if (running || since === undefined) return;
    const begun = since;
    since = undefined;
    running = true;
    await onChange(begun);
    running = false;
    await run();
  };
  const stop = watchFolders(directory, () => {
    since ??= performance.now();
    clearTimeout(timer);
    timer = setTimeout(() => void run(), quietMs);
  });
  return {
    close: () => {
      clearTimeout(timer);
      stop();
    },
  };
};
