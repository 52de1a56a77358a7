/** Starts a guest that is stuck where nothing can be heard, and says its process id. */
import { readdirSync, readFileSync } from 'node:fs';
import { startGuest } from '../../src/host/guests.ts';

const guest = startGuest({
  module: new URL('./guest-fixture.ts', import.meta.url),
  data: {},
  limits: { heapMbMax: 64, residentMbMax: 300, workCpuMsMax: 2_000, workWallMsMax: 60_000, startMsMax: 60_000 },
  onMessage: () => {
    guest.post('spin');
    const isChild = (pid: string): boolean => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[1] === String(process.pid);
      } catch {
        return false;
      }
    };
    process.send!(Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && isChild(name))));
  },
  onExit: () => {},
});
guest.post('echo');
