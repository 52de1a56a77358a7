/** Hears `link-manager-to-link-manager.wake`: a pair's time has come. What is due is done where every step ends, in settle-up. */
import { linkManagerToLinkManagerWake } from '../../messages/link-manager-to-link-manager.wake.ts';
import type { Machine } from '../../shell/worker.ts';
import type { OutboundMessage } from './delivery/delivery.ts';
import type { Head, LinkEvent } from './head.ts';
import type { Turn } from './turn.ts';

export const hearsWake: NonNullable<Machine<Head, OutboundMessage, LinkEvent>['wake']> = {
  wire: linkManagerToLinkManagerWake,
  toEvent: (dueAt) => ({ type: 'wake', dueAt }),
};

/** The state is written even if nothing was due, so that the time is set anew. */
export const onWake = (turn: Turn): void => {
  if (turn.head !== undefined) turn.changed = true;
};
