/**
 * What a caller asks to do, in the words that permissions are written in: `METHOD:/api/<version>/<path>`, `StartFlow:<class>`,
 * `WS:/api/…`; and the virtual node that it is done at.
 *
 * A path is written in one way only: percent-encoding that means nothing is undone, since what two spellings reach must be refused or
 * allowed alike.
 */
import type { Route } from '../routing/routing.ts';

export type Operation = {
  /** With its query, if it has one, and without: a pattern that fits either fits. */
  readonly texts: readonly string[];
  /** Upper-case short hash. */
  readonly virtualNode: string | undefined;
};

/** Names under which the contract's paths name a virtual node. A tenant may be one, too. */
const nodeParameters = ['holdingidentityshorthash', 'holdingidentityid', 'virtualnodeshortid', 'tenantid'];

const plain = (text: string): string =>
  text.replace(/%([0-9a-fA-F]{2})/g, (whole, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16));
    return /[!-~]/.test(char) && !'/?#%'.includes(char) ? char : whole.toUpperCase();
  });

const nodeOf = (segments: Readonly<Record<string, string>>): string | undefined => {
  for (const name of nodeParameters) {
    const value = plain(segments[name] ?? '');
    if (/^[0-9a-fA-F]{12}$/.test(value)) return value.toUpperCase();
  }
  return undefined;
};

type Asked = { readonly method: string; readonly path: string; readonly search: string };

export const operationOf = ({ method, path, search }: Asked, segments: Readonly<Record<string, string>>): Operation => {
  const text = `${method}:${plain(path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path)}`;
  return { texts: search === '' ? [text] : [text, `${text}?${plain(search)}`], virtualNode: nodeOf(segments) };
};

export const flowStartOf = (flowClassName: string, virtualNode: string): Operation => ({ texts: [`StartFlow:${flowClassName}`], virtualNode });

export const socketOf = (path: string, shortHash: string): Operation => operationOf({ method: 'WS', path, search: '' }, { holdingidentityshorthash: shortHash });

/** What needs no permission: which version a resource speaks, and one's own password, even one that has expired. */
export const needsPermission = ({ path }: Route): boolean => !path.endsWith('/getprotocolversion') && path !== ownPasswordPath;
export const ownPasswordPath = '/user/selfpassword';
