/** `rekeyd audit keys`: works on exported logs alone. */
import { entryOf, readExports } from '../audit/read.ts';
import { parseReference } from '../core/client.ts';
import { shortfalls } from '../core/key-coverage.ts';
import { tellsOfKeys } from '../core/key-entries.ts';
import type { KeyAt, Moment, Span } from '../core/key-line.ts';
import { type ClientAt, KeyTimes } from '../core/key-times.ts';
import { note, print, printJson } from './output.ts';

export interface AuditKeysOptions {
  /** ms since the epoch */
  readonly at: number;
  readonly client?: string;
  readonly json?: boolean;
}

/** @returns 1 when the export does not tell all that was asked for */
export async function auditKeys(dirs: readonly string[], { at, client, json }: AuditKeysOptions): Promise<number> {
  const only = client === undefined ? null : parseReference(client);
  const times = new KeyTimes(at, only);
  await readExports(dirs, (line) => {
    const isAbout = only === null || line.text.includes(only);
    if (isAbout && tellsOfKeys(line.type)) times.take(entryOf(line));
    else times.count(line.seq, line.time, line.type === 'store.segment');
  });
  const answer = times.answer();
  const problems = shortfalls(answer, at, only);
  const complete = problems.length === 0;
  const { clients, unanswered, first, last, gaps } = answer;
  const time = new Date(at).toISOString();
  if (json) printJson({ at: time, complete, problems, first, last, gaps, clients, unanswered });
  else {
    print(`Keys that could sign in at ${time}, by entries ${first?.seq ?? 0} to ${last?.seq ?? 0}:`);
    for (const one of clients) printClient(one);
    for (const { message } of problems) note(message);
  }
  return complete ? 0 : 1;
}

const CERTAINTY = {
  proven: 'a sign-in with it was accepted',
  published: 'the server showed it',
  possible: 'perhaps: nothing shows that the server took it, or refused it',
} as const;

function printClient({ client, watched, others, keys }: ClientAt): void {
  print(`\n${client}${keys.length === 0 ? ': none' : ''}`);
  if (!watched) print('  rekeyd left it alone: what its owner changed after the last entry is not in the log');
  if (others) print('  it had more keys than entries name, or an address of its own: others may have signed in, too');
  for (const key of keys) printKey(key);
}

function printKey({ kid, managed, certainty, possible, published, proven, entries }: KeyAt): void {
  print(`  ${kid} (${managed ? 'ours' : 'not ours'}): ${CERTAINTY[certainty]}`);
  print(`    could sign in  ${spanOf(possible)}`);
  if (published !== null) print(`    shown          ${spanOf(published)}`);
  if (proven !== null) print(`    accepted       ${spanOf(proven)}`);
  for (const { what, ...moment } of entries) print(`    ${what.padEnd(13)}  ${momentOf(moment)}`);
}

function spanOf({ from, until }: Span): string {
  const begin = from === null ? 'since before the first entry about it' : `from ${momentOf(from)}`;
  return `${begin}, ${until === null ? 'and no entry ends that' : `until ${momentOf(until)}`}`;
}

function momentOf({ seq, time }: Moment): string {
  return `${time} (entry ${seq})`;
}
