/** `cordage flow inspect`: a flow's journal as a timeline. */
import { parseArgs } from 'node:util';
import { renderTimeline, timelineOf } from '../../testing/timeline.ts';
import { usageError } from '../arguments.ts';
import { connect, connectionOptions, connectionUsage } from '../rest/connection.ts';
import { fetchJournal } from './journal.ts';

export const inspectUsage = `cordage flow inspect <shortHash> <clientRequestId|flowId> [--json] [--url <url> --password <text>] [--state <folder>]

  Shows what happened to a flow: its start, each operation (▶) and its answer (◀) or refusal (✗), messages that came early (↓), its
  end (■) or what it waits for.
  --json           the same for programs, unabridged
${connectionUsage}`;

/** Both flow commands name a flow in the same way. */
export const flowOf = (command: string, positionals: readonly string[]): { readonly shortHash: string; readonly name: string } => {
  const [shortHash, name, ...rest] = positionals;
  if (shortHash === undefined || name === undefined || rest.length > 0) throw usageError(`${command} takes the short hash of a virtual node, and the client request id or the id of a flow`);
  if (!/^[0-9A-Fa-f]{12}$/.test(shortHash)) throw usageError(`"${shortHash}" is no short hash of a virtual node: it has 12 hex digits`);
  return { shortHash: shortHash.toUpperCase(), name };
};

export const inspect = async (args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { ...connectionOptions, json: { type: 'boolean', default: false } } });
  const { shortHash, name } = flowOf('flow inspect', positionals);
  const journal = await fetchJournal(await connect(values, { shortHash, hostedThere: true }), shortHash, name);
  const entries = timelineOf(journal);
  console.log(values.json ? JSON.stringify({ flow: journal.flow, timeline: entries }, null, 2) : renderTimeline(journal.flow, entries));
  return 0;
};
