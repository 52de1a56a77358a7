/** Who goes first where not all can: every scope (a virtual node) in turn, each in its own order. */

/** At most `countMax` of these, taken from the scopes in turn; in the order given where all fit. */
export const fairShare = <Item>(items: readonly Item[], countMax: number, scopeOf: (item: Item) => string): readonly Item[] => {
  if (items.length <= countMax) return items;
  const queues = [...Map.groupBy(items, scopeOf).values()];
  const chosen: Item[] = [];
  for (let place = 0; chosen.length < countMax; place++) {
    for (const queue of queues) {
      const item = queue[place];
      if (item !== undefined && chosen.length < countMax) chosen.push(item);
    }
  }
  return chosen;
};
