/**
 * Who of a group reads what: ranges of partition numbers, in the order of the instances' names.
 *
 * Topics heard by the same members are shared out by one range of partition numbers, so that a number has one owner in all
 * of them (B3).
 */
export type AssignmentMember = { readonly instance: string; readonly topics: ReadonlySet<string> };
export type Owner = string;

/** For each topic, the owner of each partition number; `undefined` never stands in it, as only heard topics are listed. */
export const assignPartitions = (
  members: readonly AssignmentMember[],
  partitionsOf: (topic: string) => number,
): ReadonlyMap<string, readonly Owner[]> => {
  const ordered = [...members].sort((a, b) => (a.instance < b.instance ? -1 : 1));
  const topics = new Set(ordered.flatMap((member) => [...member.topics]));
  /** Topics by who hears them. */
  const heard = new Map<string, { readonly hearers: readonly Owner[]; readonly topics: string[] }>();
  for (const topic of topics) {
    const hearers = ordered.filter((member) => member.topics.has(topic)).map((member) => member.instance);
    const name = JSON.stringify(hearers);
    const same = heard.get(name);
    if (same === undefined) heard.set(name, { hearers, topics: [topic] });
    else same.topics.push(topic);
  }
  const owners = new Map<string, readonly Owner[]>();
  for (const { hearers, topics: shared } of heard.values()) {
    const numbers = ownersOfNumbers(hearers, Math.max(...shared.map(partitionsOf)));
    for (const topic of shared) owners.set(topic, numbers.slice(0, partitionsOf(topic)));
  }
  return owners;
};

/** The first members take one more where the numbers do not divide evenly. */
const ownersOfNumbers = (hearers: readonly Owner[], count: number): Owner[] => {
  const each = Math.floor(count / hearers.length);
  const more = count % hearers.length;
  return hearers.flatMap((hearer, i) => Array.from({ length: each + (i < more ? 1 : 0) }, () => hearer));
};
