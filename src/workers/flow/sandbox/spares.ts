/** Guests that are started before they are needed: one that was stopped is replaced without the time it takes to start one. */
import type { Guest, GuestExit, GuestOptions, StartGuest } from '../../../host/guests.ts';

export type Spares = {
  /** A guest, warm where there is one. */
  take: (handlers: Handlers) => Guest;
  /** Sees to it that there are as many as there should be. */
  fill(): void;
  close(): Promise<void>;
};

type Handlers = Pick<GuestOptions, 'onMessage' | 'onExit'>;
type Spare = { readonly guest: Guest; handlers: Handlers | undefined; exit: GuestExit | undefined };

export const createSpares = (startGuest: StartGuest, options: Omit<GuestOptions, keyof Handlers>, countMax: number): Spares => {
  const idle: Spare[] = [];
  let closed = false;
  const start = (handlers?: Handlers): Spare => {
    const spare: Spare = {
      guest: startGuest({
        ...options,
        onMessage: (message) => spare.handlers?.onMessage(message),
        onExit: (exit) => {
          spare.exit = exit;
          // One that ends while nobody has it is forgotten; the next fill starts another.
          if (idle.includes(spare)) idle.splice(idle.indexOf(spare), 1);
          spare.handlers?.onExit(exit);
        },
      }),
      handlers,
      exit: undefined,
    };
    return spare;
  };
  return {
    take: (handlers) => {
      const spare = idle.shift() ?? start(handlers);
      spare.handlers = handlers;
      return spare.guest;
    },
    fill: () => {
      while (!closed && idle.length < countMax) idle.push(start());
    },
    close: async () => {
      closed = true;
      await Promise.all(idle.map(({ guest }) => guest.terminate()));
    },
  };
};
