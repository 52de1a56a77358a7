/** Fetches a flow's journal and its code, page by page. */
import * as z from 'zod';
import { concat, fromBase64url } from '../../cipher/bytes.ts';
import { flowInspection, journalPart } from '../../messages/rest-to-flow.query.ts';
import type { JournalItem, Stored } from '../../workers/flow/engine/journal.ts';
import type { FlowJournal } from '../../testing/timeline.ts';
import type { RestClient } from '../../rest-client/rest-client.ts';

const page = z.object({ flow: flowInspection, parts: z.array(journalPart), next: z.string().nullable() });
const chunk = z.object({ count: z.int().min(0).max(100), bytes: z.string() });

/** Texts of one position belong together. */
const itemsOf = (texts: ReadonlyMap<number, string>): Stored[] =>
  // A cluster of this version wrote these items; others say so in their first.
  [...texts].map(([position, text]) => ({ position, value: JSON.parse(text) as JournalItem }));

const checkVersion = (items: readonly Stored[]): void => {
  const first = items.find(({ value }) => value.type === 'start')?.value;
  if (first?.type === 'start' && first.v !== 1) throw new Error(`the journal is of version ${String(first.v)}, which this cordage cannot read; use the cluster's version`);
};

export const fetchJournal = async (client: RestClient, shortHash: string, name: string): Promise<FlowJournal> => {
  const texts = new Map<number, string>();
  for (let from: string | null = '0.0'; ; ) {
    const { flow, parts, next }: z.infer<typeof page> = page.parse(await client.call('GET /flow/{holdingidentityshorthash}/{clientrequestid}/journal', { path: { holdingidentityshorthash: shortHash, clientrequestid: name }, query: { from } }));
    for (const { position, text } of parts) texts.set(position, (texts.get(position) ?? '') + text);
    if (next === null) {
      const items = itemsOf(texts);
      checkVersion(items);
      return { flow, items };
    }
    from = next;
  }
};

const fetchPart = async (client: RestClient, cpkHash: string, part: 'bundle' | 'map'): Promise<string> => {
  const chunks: Uint8Array[] = [];
  for (let [index, count] = [0, 1]; index < count; index++) {
    const read = chunk.parse(await client.call('GET /cpk/{cpkhash}/{part}/{index}', { path: { cpkhash: cpkHash, part, index: String(index) } }));
    count = read.count;
    chunks.push(fromBase64url(read.bytes));
  }
  return new TextDecoder().decode(concat(...chunks));
};

export type FetchedCode = { readonly bundle: string; /** Absent where the CPK holds none. */ readonly sourceMap: string | undefined };

/** The very code that the flow is pinned to. */
export const fetchCode = async (client: RestClient, cpkHash: string): Promise<FetchedCode> => {
  const bundle = await fetchPart(client, cpkHash, 'bundle');
  try {
    return { bundle, sourceMap: await fetchPart(client, cpkHash, 'map') };
  } catch {
    return { bundle, sourceMap: undefined };
  }
};
