import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSwaggerFile } from '../../../src/host/swagger-files.ts';
import { openRest, type RestUnderTest } from './rest-under-test.ts';

let rest: RestUnderTest;
let without: RestUnderTest;
beforeAll(async () => {
  rest = await openRest({ change: (deps) => ({ ...deps, readSwaggerFile }) });
  without = await openRest();
});
afterAll(() => Promise.all([rest.close(), without.close()]));

const get = (path: string, from = rest, method = 'GET'): Promise<Response> => from.worker.fetch(new Request(`http://rest.test/api/v5_2/${path}`, { method }));

describe('Swagger UI', () => {
  test.each(['swagger', 'swagger/', 'SWAGGER'])('is at %s without a login, with every file that it loads', async (path) => {
    const answer = await get(path);
    const page = await answer.text();
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const files = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file!);
    expect(files).toHaveLength(4);
    for (const file of files) {
      const loaded = await rest.worker.fetch(new Request(`http://rest.test${file}`));
      expect([file, loaded.status, (await loaded.arrayBuffer()).byteLength > 50]).toEqual([file, 200, true]);
    }
  });

  test('shows the document beside it, and runs no script but its own', async () => {
    expect(await (await get('swagger/initialize.js')).text()).toContain('/api/v5_2/swagger.json');
    expect((await get('swagger.json')).status).toBe(200);
    expect((await get('swagger')).headers.get('content-security-policy')).toMatch(/script-src 'self';/);
  });

  test('has no other files, and takes no other methods', async () => {
    for (const name of ['package.json', '..%2fpackage.json', 'index.html', '__proto__', 'swagger-ui-bundle.js.map']) expect((await get(`swagger/${name}`)).status).toBe(404);
    expect((await get('swagger', rest, 'POST')).status).toBe(405);
  });

  test('where it is not installed, is a page that says where the document is', async () => {
    const page = await (await get('swagger', without)).text();
    expect(page).toContain('href="/api/v5_2/swagger.json"');
    expect(page).not.toContain('<script');
    expect((await get('swagger/swagger-ui.css', without)).status).toBe(404);
  });
});
