/**
 * A produce whose answer was lost is sent again. Producers that name their requests get the first one's answer then, instead
 * of their records twice. It is kept in memory only: after a restart a repeat is a second produce, which B1 allows.
 */
import { headerOf } from './call.ts';
import type { Call } from './call.ts';
import { Refused } from './parse.ts';

/** A producer has one request under way, so its last answer is enough; those that were silent longest are forgotten. */
const producersMax = 1_000;

export const createProduces = () => {
  const last = new Map<string, { readonly number: number; readonly answer: Promise<string> }>();
  const once = (call: Call, produce: () => Promise<string>): Promise<string> => {
    const header = headerOf(call.request, 'cordage-produce');
    if (header === undefined) return produce();
    const [, producer, digits] = /^([\w-]{1,100})\/(\d{1,15})$/.exec(header) ?? [];
    if (producer === undefined) throw new Refused(400, 'Cordage-Produce must be <producer>/<number>');
    const key = `${call.grant.username}\n${producer}`;
    const number = Number(digits);
    const known = last.get(key);
    if (known?.number === number) return known.answer;
    const answer = produce();
    last.delete(key);
    last.set(key, { number, answer });
    // What failed may be tried again in earnest.
    answer.catch(() => {
      if (last.get(key)?.answer === answer) last.delete(key);
    });
    const [oldest] = last.keys();
    if (last.size > producersMax && oldest !== undefined) last.delete(oldest);
    return answer;
  };
  return { once };
};
