/** A room that runs: its loops, its own server, and what it says of its health. */
import type { Room } from '../src/messages/grammar/wire.ts';
import { noEars } from '../src/shell/ears.ts';
import { runWorker, type RunningWorker } from '../src/shell/run-worker.ts';
import { openRoom } from './rooms.ts';
import type { Platform } from './platform.ts';

export type RunningRoom = {
  readonly room: Room;
  readonly running: RunningWorker;
  /** Of rest and gateway. */
  readonly url: string | undefined;
  /** Takes no more, finishes what is in work, hands over. */
  stop(): Promise<void>;
};

export const startRoom = async (room: Room, platform: Platform): Promise<RunningRoom> => {
  const { bus, instance, clock, metrics, ears } = platform;
  const log = platform.log.with({ room });
  const { serve, leave, ears: own = noEars, ...opened } = await openRoom(room, { ...platform, log });
  const running = runWorker({ ...opened, bus, instance, clock, log, metrics, ears });
  for (const [topic, answers] of running.direct) platform.direct.set(topic, answers);
  for (const [topic, hear] of own) ears.set(topic, hear);
  const server = await serve?.();
  return {
    room,
    running,
    url: server?.url,
    stop: async () => {
      leave?.();
      await server?.close();
      for (const topic of own.keys()) ears.delete(topic);
      await running.stop();
    },
  };
};
