/**
 * A pool that is replaced as a whole when one of its connections is lost (see `database.ts`, traps 3 and 4). Statements under way on
 * the others finish; new ones go to the new pool.
 */
import type { Client } from './lending.ts';

export type Pool = {
  /** Always the pool of the moment. */
  readonly sql: Client;
  /** Gives the pool of the moment up. */
  readonly replace: () => void;
  close(seconds: number): Promise<void>;
};

/** How long the statements of a replaced pool may take to finish, in seconds. */
const finishSeconds = 5;

export const createPool = (open: (onclose: () => void) => Client): Pool => {
  let closed = false;
  const replace = (old: Client): void => {
    if (closed || current !== old) return;
    current = make();
    void old.end({ timeout: finishSeconds });
  };
  const make = (): Client => {
    const made: Client = open(() => replace(made));
    return made;
  };
  let current = make();
  const handler: ProxyHandler<Client> = {
    // The arguments are those of the library's own overloads, handed on as they came.
    apply: (_target, _self, given: Parameters<Client>) => current(...given),
    get: (_target, name) => Reflect.get(current, name) as unknown,
  };
  return {
    sql: new Proxy(current, handler),
    replace: () => replace(current),
    close: async (seconds) => {
      closed = true;
      await current.end({ timeout: seconds });
    },
  };
};

/** The client, but refusing every new statement once its connection is lost. */
export const guardClient = (client: Client, check: () => void): Client =>
  new Proxy(client, {
    apply: (target, _self, given: Parameters<Client>) => {
      check();
      return target(...given);
    },
    get: (target, name) => {
      check();
      return Reflect.get(target, name) as unknown;
    },
  });
