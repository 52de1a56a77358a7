/** A room that runs: its loops, its own server, and what it says of its health. */
import type { Room } from '../src/messages/grammar/wire.ts';
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
  const { bus, instance, clock, metrics } = platform;
  const log = platform.log.with({ room });
  const { serve, leave, ...opened } = await openRoom(room, { ...platform, log });
  const running = runWorker({ ...opened, bus, instance, clock, log, metrics });
  for (const [topic, answers] of running.direct) platform.direct.set(topic, answers);
  const server = await serve?.();
  return {
    room,
    running,
    url: server?.url,
    stop: async () => {
      leave?.();
      await server?.close();
      await running.stop();
    },
  };
};
