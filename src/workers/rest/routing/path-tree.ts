/** A tree of path templates: literals are tried before parameters, and a wrong turn is taken back. */

export type Found<Method extends string, Value> =
  /** Segments are as they stand in the path: not decoded yet. */
  | { readonly type: 'found'; readonly value: Value; readonly segments: Readonly<Record<string, string>> }
  /** Methods that the path would take. */
  | { readonly type: 'missing'; readonly methods: readonly Method[] };

export type PathTree<Method extends string, Value> = {
  add(method: Method, template: string, value: Value): void;
  find(method: string, path: string): Found<Method, Value>;
};

type Leaf<Value> = { readonly value: Value; readonly names: readonly string[] };
type Node<Method, Value> = { readonly literals: Map<string, Node<Method, Value>>; parameter: Node<Method, Value> | undefined; readonly leaves: Map<string, Leaf<Value>> };

/** Deeper paths than any template are unknown without a walk. */
const segmentsMax = 16;

const emptyNode = <Method, Value>(): Node<Method, Value> => ({ literals: new Map(), parameter: undefined, leaves: new Map() });

const segmentsOf = (path: string): string[] => (path.endsWith('/') && path.length > 1 ? path.slice(1, -1) : path.slice(1)).split('/');

const childFor = <Method, Value>(node: Node<Method, Value>, segment: string): Node<Method, Value> => {
  if (segment.startsWith('{')) return (node.parameter ??= emptyNode());
  const key = segment.toLowerCase();
  const known = node.literals.get(key) ?? emptyNode<Method, Value>();
  node.literals.set(key, known);
  return known;
};

type Walk<Method, Value> = { readonly method: string; readonly segments: readonly string[]; readonly taken: string[]; readonly methods: Set<Method>; leaf?: Leaf<Value> };

const walk = <Method extends string, Value>(node: Node<Method, Value>, depth: number, state: Walk<Method, Value>): boolean => {
  const segment = state.segments[depth];
  if (segment === undefined) {
    const leaf = node.leaves.get(state.method);
    if (leaf === undefined) {
      // Keys of `leaves` are methods: `add` put them there.
      for (const method of node.leaves.keys()) state.methods.add(method as Method);
      return false;
    }
    state.leaf = leaf;
    return true;
  }
  const literal = node.literals.get(segment.toLowerCase());
  if (literal !== undefined && walk(literal, depth + 1, state)) return true;
  if (node.parameter === undefined || segment === '') return false;
  state.taken.push(segment);
  if (walk(node.parameter, depth + 1, state)) return true;
  state.taken.pop();
  return false;
};

export const createPathTree = <Method extends string, Value>(): PathTree<Method, Value> => {
  const root = emptyNode<Method, Value>();
  return {
    add: (method, template, value) => {
      const segments = segmentsOf(template);
      const node = segments.reduce(childFor<Method, Value>, root);
      if (node.leaves.has(method)) throw new TypeError(`two routes for ${method} ${template}`);
      node.leaves.set(method, { value, names: segments.filter((segment) => segment.startsWith('{')).map((segment) => segment.slice(1, -1)) });
    },
    find: (method, path) => {
      const segments = segmentsOf(path);
      const state: Walk<Method, Value> = { method, segments, taken: [], methods: new Set() };
      if (segments.length > segmentsMax || !walk(root, 0, state) || state.leaf === undefined) return { type: 'missing', methods: [...state.methods] };
      return { type: 'found', value: state.leaf.value, segments: Object.fromEntries(state.leaf.names.map((name, i) => [name, state.taken[i]!])) };
    },
  };
};
