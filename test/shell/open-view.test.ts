import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { BusError, type Bus } from '../../src/bus/bus.ts';
import type { EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openView, type OpenView } from '../../src/shell/open-view.ts';
import { openBroker } from './broker.ts';

const shapeWire = wire({ topic: 'db-to-all.shape', from: ['db'], to: ['rest'], key: 'name', retention: 'compacted', version: 1, body: z.object({ sides: z.number() }) });
const shape = (key: string, sides: number | null) => encode(shapeWire, { key, id: `${key}-${sides}`, body: sides === null ? null : { sides } });

let broker: EmbeddedBroker;
let bus: Bus;
const open: OpenView<{ sides: number }>[] = [];
beforeEach(async () => {
  broker = await openBroker([shapeWire]);
  bus = broker.connect();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((view) => view.close()));
  await broker.close();
});
const view = async (from: Bus = bus): Promise<OpenView<{ sides: number }>> => {
  const one = await openView({ bus: from, wire: shapeWire, log: silentLog });
  open.push(one);
  return one;
};

describe('a view', () => {
  test('holds all that was published before it was opened, the latest of each key', async () => {
    await bus.publish([shape('triangle', 2), shape('square', 4), shape('triangle', 3), shape('line', 1), shape('line', null)]);
    const shapes = await view();
    expect(new Map(shapes.entries())).toEqual(new Map([['triangle', { sides: 3 }], ['square', { sides: 4 }]]));
    expect(shapes.get('line')).toBeUndefined();
  });

  test('after refresh it holds what was published before the call', async () => {
    const shapes = await view();
    for (let sides = 3; sides < 60; sides++) {
      await bus.publish([shape('polygon', sides)]);
      await shapes.refresh();
      expect(shapes.get('polygon')).toEqual({ sides });
    }
  });

  test('many refreshes at once each see what was published before them', async () => {
    const shapes = await view();
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        await bus.publish([shape(`s${i}`, i)]);
        await shapes.refresh();
        expect(shapes.get(`s${i}`)).toEqual({ sides: i });
      }),
    );
  });

  test('it tells its listeners, once they are there and as long as they stay, that something changed', async () => {
    const shapes = await view();
    let told = 0;
    const stop = shapes.onChange(() => told++);
    await bus.publish([shape('line', 1), shape('square', 4)]);
    await shapes.refresh();
    expect(told).toBe(1);
    await shapes.refresh();
    expect(told).toBe(1);
    stop();
    await bus.publish([shape('line', 2)]);
    await shapes.refresh();
    expect(told).toBe(1);
  });

  test('it follows by itself', async () => {
    const seen = Promise.withResolvers<void>();
    const spied: Bus = {
      ...bus,
      follow: (options) => {
        const follower = bus.follow(options);
        return {
          ...follower,
          poll: async (given) => {
            const records = await follower.poll(given);
            // Applied in the turn after this one.
            if (records.length > 0) setImmediate(() => seen.resolve());
            return records;
          },
        };
      },
    };
    const shapes = await view(spied);
    await bus.publish([shape('circle', 0)]);
    await seen.promise;
    expect(shapes.get('circle')).toEqual({ sides: 0 });
  });

  test('a malformed record leaves its key as it was', async () => {
    await bus.publish([shape('square', 4)]);
    const shapes = await view();
    await bus.publish([{ topic: shapeWire.topic, key: 'square', value: '{"v":1,"id":"x","body":{"sides":"four"}}' }]);
    await shapes.refresh();
    expect(shapes.get('square')).toEqual({ sides: 4 });
  });

  test('a bus that fails for a while delays it, no more', async () => {
    let failures = 3;
    const flaky: Bus = {
      ...bus,
      follow: (options) => {
        const follower = bus.follow(options);
        return { ...follower, poll: (given) => (failures-- > 0 ? Promise.reject(new BusError('BUS_UNREACHABLE', 'away')) : follower.poll(given)) };
      },
    };
    const shapes = await view(flaky);
    await bus.publish([shape('square', 4)]);
    while (failures > 0) await new Promise((resolve) => setImmediate(resolve));
    await shapes.refresh();
    expect(shapes.get('square')).toEqual({ sides: 4 });
  });

  test('a view of a wire that forgets is refused', async () => {
    await expect(openView({ bus, wire: { ...shapeWire, retention: 'log' }, log: silentLog })).rejects.toThrow(/not compacted/);
  });

  test('close ends the reading at once', async () => {
    const shapes = await view();
    await shapes.close();
    await bus.publish([shape('square', 4)]);
    expect(shapes.get('square')).toBeUndefined();
  });
});
