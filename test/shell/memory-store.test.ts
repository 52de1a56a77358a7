import { createMemoryAnswerStore, createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import { jointSaveContract } from './joint-contract.ts';
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

jointSaveContract('memory', async () => {
  const listed = new Set<string>();
  const makeTx = () => ({ before: [...listed] });
  const rollback = ({ before }: ReturnType<typeof makeTx>): void => {
    listed.clear();
    for (const name of before) listed.add(name);
  };
  const put = async (_tx: unknown, names: readonly string[]): Promise<boolean> => names.every((name) => !listed.has(name) && listed.add(name));
  const { joint } = createMemoryAnswerStore(makeTx, rollback, put);
  const states = createMemoryStateStore();
  return { states, replica: states, put: (...names) => joint!(names), listed: async () => [...listed].toSorted() };
});
