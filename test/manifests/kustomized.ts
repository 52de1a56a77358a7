/** What `kubectl kustomize` makes of an overlay, as values. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import * as z from 'zod';
import { root } from '../tidy/source.ts';

/** As much of a resource as every kind has; the rest is read by who knows the kind. */
export type Resource = { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> } };

const resource = z.looseObject({ apiVersion: z.string(), kind: z.string(), metadata: z.looseObject({ name: z.string(), annotations: z.record(z.string(), z.string()).optional() }) });

/** Why overlays cannot be made here, or `undefined`. */
export const whyNoKubectl = (): string | undefined => {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'kubectl is not installed';
  }
};

/** Kustomize folds long values of Secrets; Kubernetes ignores the line feeds, a schema does not. */
const unfolded = (one: Resource): Resource => (one.kind === 'Secret' ? (JSON.parse(JSON.stringify(one).replaceAll('\\n', '')) as Resource) : one);

export const parseResources = (text: string): Resource[] =>
  parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    // The schema asks for what the type says.
    return unfolded(resource.parse(document.toJS()) as Resource);
  });

const made = new Map<string, Resource[]>();

/** @param overlay `base`, or `overlays/<name>` */
export const kustomized = (overlay: string): Resource[] => {
  const known = made.get(overlay) ?? parseResources(execFileSync('kubectl', ['kustomize', join(root, 'manifests', overlay)], { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 }));
  made.set(overlay, known);
  return known;
};
