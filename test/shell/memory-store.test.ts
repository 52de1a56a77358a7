import { createMemoryAnswerStore, createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import { answerStoreContract, parkingLotContract, stateStoreContract, type Counter } from './store-contract.ts';

stateStoreContract('memory', async () => createMemoryStateStore());
parkingLotContract('memory', async () => createMemoryParkingLot());

answerStoreContract('memory', async () => {
  const counts = new Map<string, number>();
  type Tx = Counter & { readonly before: ReadonlyMap<string, number> };
  const makeTx = (): Tx => ({
    before: new Map(counts),
    add: async (name) => void counts.set(name, (counts.get(name) ?? 0) + 1),
    read: async (name) => counts.get(name) ?? 0,
  });
  return createMemoryAnswerStore(makeTx, ({ before }) => {
    counts.clear();
    for (const [name, count] of before) counts.set(name, count);
  });
});
