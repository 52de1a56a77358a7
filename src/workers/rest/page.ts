/** Pages of a view in order of its keys: the order is made once for all pages between two changes of the view. */
import type { ChangingView, View } from '../../shell/view.ts';

/** A view that does not tell of its changes is put in order at each page. */
type Listed<Body> = View<Body> & Partial<Pick<ChangingView<Body>, 'onChange'>>;

/** The keys of each view in order, until it changes. */
const orders = new WeakMap<object, { keys: readonly string[] | undefined }>();

const sortedKeys = (view: Listed<unknown>): readonly string[] => [...view.entries()].map(([key]) => key).sort();

const orderOf = (view: Listed<unknown>): readonly string[] => {
  if (view.onChange === undefined) return sortedKeys(view);
  let order = orders.get(view);
  if (order === undefined) {
    const made: { keys: readonly string[] | undefined } = { keys: undefined };
    view.onChange(() => (made.keys = undefined));
    orders.set(view, (order = made));
  }
  return (order.keys ??= sortedKeys(view));
};

/** Where the first key behind this one stands. */
const placeBehind = (keys: readonly string[], after: string): number => {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! > after) high = middle;
    else low = middle + 1;
  }
  return low;
};

export type Page = { readonly limit: number | undefined; readonly after: string | undefined };

/**
 * The entries behind `after`, as many as asked for; without either, all of them in the order in which they came. What was written just before the
 * call is in the first page; later ones go on from there.
 */
export const readPage = async <Body>(view: Listed<Body>, { limit, after }: Page, limitMax: number): Promise<Body[]> => {
  if (after === undefined) await view.refresh();
  if (limit === undefined && after === undefined) return [...view.entries()].map(([, body]) => body);
  const keys = orderOf(view);
  const from = after === undefined ? 0 : placeBehind(keys, after);
  return keys.slice(from, from + (limit ?? limitMax)).flatMap((key) => {
    const body = view.get(key);
    return body === undefined ? [] : [body];
  });
};
