/** Writes the manifests, and removes what is no longer one. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manifestFiles } from './manifests.ts';

const folder = fileURLToPath(new URL('../../manifests', import.meta.url));
rmSync(folder, { recursive: true, force: true });
for (const [path, text] of Object.entries(manifestFiles())) {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}
