/** What a test network runs: an author's project, bundled as the packager does it, or flow values as the test holds them. */
import { fileURLToPath } from 'node:url';
import { dirname } from 'node:path';
import { utf8 } from '../cipher/bytes.ts';
import type { Flow } from '../flow-sdk/flow-sdk.ts';
import { hashOf } from '../packaging/container.ts';
import { bundleProject } from '../packaging/build/bundle.ts';
import { readApplication } from '../packaging/build/declarations.ts';
import { readProject } from '../packaging/build/project.ts';
import { flowDeclarations, type FlowDeclaration } from '../packaging/manifest.ts';
import { bundleFileOf, evaluateBundle } from './evaluate.ts';

/**
 * - a folder with a `cordage.json` (or that file itself), as a path from the working directory or a `file:` URL;
 * - flow values in a list, or a module that exports them (`import * as app from './flows.ts'`).
 */
export type AppSource = string | URL | readonly unknown[] | object;

export type TestApp = {
  readonly hash: string;
  /** JavaScript of the bundle; of flow values a name for them. */
  readonly code: string;
  /** Source map of the bundle, by which errors name the author's lines. */
  readonly sourceMap: Uint8Array | null;
  readonly declarations: readonly FlowDeclaration[];
  /** Text of the package's `schema.json`, where the application has tables or indexes of its own. */
  readonly schema: string | undefined;
  /** Tables need PostgreSQL; indexes only make it quicker. */
  readonly hasTables: boolean;
  /** Runs the code in the caller's own realm: what the inline sandbox does. */
  readonly evaluate: (code: string) => unknown;
};

const isFlow = (value: unknown): value is Flow => typeof value === 'object' && value !== null && 'cordageFlow' in value && value.cordageFlow === 1;

const readFlows = (app: unknown, what: string): Flow[] => {
  const list = typeof app === 'object' && app !== null && 'flows' in app && Array.isArray(app.flows) ? app.flows.filter(isFlow) : [];
  if (list.length === 0) throw new Error(`${what} holds no flow; export what startableFlow, responderFlow or subFlow made`);
  return list;
};

/** Whether the bundle's schema lists any of these. */
const hasAny = (app: unknown, list: 'migrations' | 'entities'): boolean => {
  const schema = typeof app === 'object' && app !== null && 'schema' in app ? (app.schema as Record<string, unknown> | undefined) : undefined;
  const found = schema?.[list];
  return Array.isArray(found) && found.length > 0;
};

/** As the manifest of a package would list them; what no package could hold is refused here too. */
const declarationsOf = (flows: readonly Flow[]): FlowDeclaration[] => flowDeclarations.parse(flows.map(({ declaration }) => declaration));

const openProject = async (path: string): Promise<TestApp> => {
  const project = readProject(path.endsWith('.json') ? dirname(path) : path);
  const { code: bundle, sourceMap } = await bundleProject(project);
  const [code, map] = [bundle, sourceMap].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  const place = { sourceMap: map, project: project.directory, filename: bundleFileOf(project.directory) };
  const evaluate = (script: string): unknown => evaluateBundle({ ...place, code: script });
  const app = evaluate(code);
  const [hasTables, hasIndexes] = [hasAny(app, 'migrations'), hasAny(app, 'entities')];
  const schema = hasTables || hasIndexes ? (await readApplication(bundle)).schema : undefined;
  return { hash: await hashOf(bundle), code, sourceMap, declarations: declarationsOf(readFlows(app, project.entry)), schema, hasTables, evaluate };
};

const openFlows = async (source: object): Promise<TestApp> => {
  const flows = readFlows({ flows: Object.values(source) }, 'the app of the test network');
  const code = flows.map(({ declaration }) => declaration.name).join(' ');
  return { hash: await hashOf(utf8(code)), code, sourceMap: null, declarations: declarationsOf(flows), schema: undefined, hasTables: false, evaluate: () => ({ flows }) };
};

/** Projects are bundled once a process: a test file that makes many networks pays once. */
const opened = new Map<string, Promise<TestApp>>();

export const openApp = (source: AppSource): Promise<TestApp> => {
  if (typeof source !== 'string' && !(source instanceof URL)) return openFlows(source);
  const path = source instanceof URL ? fileURLToPath(source) : source;
  let app = opened.get(path);
  if (app === undefined) {
    opened.set(path, (app = openProject(path)));
    // What failed is tried again: in watch mode the author has corrected it.
    app.catch(() => opened.delete(path));
  }
  return app;
};
