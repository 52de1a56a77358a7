/** A view that reads the step bus itself: no loop of its own, so the scheduler alone decides what happens. */
import { decode } from '../messages/grammar/envelope.ts';
import type { Wire } from '../messages/grammar/wire.ts';
import type { ChangingView } from '../shell/view.ts';
import type { StepBus } from './step-bus.ts';

/** Caught up when it is made, as a real one is when it is handed to a worker; after that it lags until it is refreshed. */
export const createStepView = <Body>(bus: StepBus, wire: Wire<Body, any>): ChangingView<Body> => {
  const bodies = new Map<string, Body>();
  const listeners = new Set<() => void>();
  const read = (): void => {
    bodies.clear();
    for (const record of bus.records(wire.topic)) {
      const decoded = decode(wire, record);
      if (decoded.type === 'message') bodies.set(record.key, decoded.delivery.body);
      if (decoded.type === 'removed') bodies.delete(record.key);
    }
  };
  read();
  return {
    get: (key) => bodies.get(key),
    entries: () => bodies.entries(),
    refresh: async () => {
      read();
      for (const listener of listeners) listener();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
};
