/**
 * TypeScript text for applications of the escape suite: walks every object that can be reached from a value, by prototypes,
 * properties (names and symbols), getters, setters and constructors.
 */
export const walkSource = `
type Found = { path: string; value: any };
const isObject = (value: any): boolean => (typeof value === 'object' && value !== null) || typeof value === 'function';
/** Everything that can be reached; each once, with the first way to it. */
const reach = (roots: Record<string, any>, max = 50_000): Found[] => {
  const seen = new Set<any>();
  const found: Found[] = [];
  const queue: Found[] = Object.entries(roots).map(([path, value]) => ({ path, value }));
  for (let next = 0; next < queue.length && found.length < max; next++) {
    const { path, value } = queue[next]!;
    if (!isObject(value) || seen.has(value)) continue;
    seen.add(value);
    found.push({ path, value });
    queue.push({ path: path + '.__proto__', value: Reflect.getPrototypeOf(value) });
    for (const key of Reflect.ownKeys(value)) {
      const descriptor = Reflect.getOwnPropertyDescriptor(value, key)!;
      const name = path + '.' + String(key);
      if ('value' in descriptor) queue.push({ path: name, value: descriptor.value });
      else {
        queue.push({ path: name + '.get', value: descriptor.get }, { path: name + '.set', value: descriptor.set });
        try {
          queue.push({ path: name, value: value[key] });
        } catch {}
      }
    }
    if (typeof value === 'function') {
      for (const poisoned of ['caller', 'arguments', 'callee']) {
        try {
          queue.push({ path: path + '.' + poisoned, value: value[poisoned] });
        } catch {}
      }
    }
  }
  return found;
};
/** Calls every function of some objects, also of those inside them, with what no author would give; what they answer and throw. */
const callAll = async (objects: any[]): Promise<any[]> => {
  const got: any[] = [];
  for (const object of objects) {
    for (const key of Reflect.ownKeys(object)) {
      const value = object[key];
      if (isObject(value) && typeof value !== 'function') objects.push(value);
      if (typeof value !== 'function') continue;
      for (const given of [[], [{}], [undefined, {}], ['x', {}], [[], () => 1]]) {
        try {
          const answer = value(...given);
          got.push(answer);
          if (answer instanceof Promise) void answer.catch((error: unknown) => got.push(error));
        } catch (error) {
          got.push(error);
        }
      }
    }
  }
  for (let i = 0; i < 50; i++) await null;
  return got;
};
/** Whatever a context hands out in a life, good and bad. */
const everythingOf = async (ctx: any): Promise<Record<string, any>> => {
  const caught = async (work: () => any): Promise<any> => {
    try {
      return await work();
    } catch (error) {
      return error;
    }
  };
  const pending = ctx.sleep(1);
  const session = ctx.initiate('CN=Bob, O=Bob, L=London, C=GB', { name: 'test.x', versions: [1] });
  const sending = session.send({ a: 1 });
  const thenable: any = {};
  await caught(async () => await { then: (resolve: any, reject: any) => { thenable.resolve = resolve; thenable.reject = reject; resolve(1); } });
  let schemaArguments: any[] = [];
  const watching = { '~standard': { version: 1, vendor: 'x', validate: (...given: any[]) => { schemaArguments = given; return { value: given[0] }; } } };
  const iterators: any[] = [];
  const versions: any = Object.assign([1], { [Symbol.iterator]: function* (): any { iterators.push(this); yield 1; } });
  const strange = await caught(() => ctx.initiate('CN=Bob, O=Bob, L=London, C=GB', { name: 'test.y', versions }));
  let fieldsSeen: any[] = [];
  ctx.log.info('x', { toJSON: (...given: any[]) => { fieldsSeen = given; return 1; } });
  const answers = [
    await caught(() => ctx.sleep(-1)),
    await caught(() => ctx.db.find(note, { toJSON: () => { throw { deep: new Error('mine') }; } })),
    await caught(() => ctx.db.persist({ name: 'Note', id: (...given: any[]) => { fieldsSeen.push(...given); throw new TypeError('id'); } }, { id: 1 })),
    await caught(() => ctx.db.persist(note, undefined)),
    await caught(() => ctx.subFlow(undefined, 1)),
    await caught(() => ctx.initiate()),
    await caught(() => parse(watching as any, { given: 1 })),
    await caught(() => parse(undefined as any, 1)),
  ];
  return { ctx, pending, session, sending, strange, thenable, schemaArguments, iterators, fieldsSeen, answers, called: await callAll([ctx, session]) };
};
`;
