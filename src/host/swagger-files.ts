/** The files of Swagger UI as npm's `swagger-ui-dist` brings them, for hosts that have a disk: Node and Deno. */
import { readFile } from 'node:fs/promises';

/** `undefined` where the package is not installed: an image may leave it out. */
export const readSwaggerFile = async (name: 'swagger-ui.css' | 'swagger-ui-bundle.js' | 'favicon-32x32.png'): Promise<Uint8Array<ArrayBuffer> | undefined> => {
  try {
    return new Uint8Array(await readFile(new URL(import.meta.resolve(`swagger-ui-dist/${name}`))));
  } catch {
    return undefined;
  }
};
