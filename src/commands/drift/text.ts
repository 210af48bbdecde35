/** Drift as a person reads it: per client the server's document beside ours. */
import { formatDuration } from '../../core/duration.ts';
import { shortMessage } from '../../core/reply.ts';
import type { DocumentView, DriftView, KeyView } from '../../status/client/drift.ts';
import { note, print, printJson, printTable } from '../output.ts';

/** Of what drift is not known: an app with a list that cannot be read, or one client with a row that is not as Wacht documents it. */
export interface Unread {
  readonly app: string;
  readonly client?: string;
  readonly error: string;
}

interface Found {
  readonly views: readonly DriftView[];
  readonly unread: readonly Unread[];
  readonly unknown: readonly string[];
}

/** @param now the store's clock, ms since the Unix epoch */
export function tellDrift(
  { views, unread, unknown }: Found,
  { now, limit, json }: { readonly now: number; readonly limit: number; readonly json: boolean },
): void {
  const drifted = views.filter(({ since }) => since !== null);
  const shown = views.slice(0, limit);
  if (json) printJson({ drifted: drifted.length, clients: shown, unread });
  else {
    if (unread.length === 0 || drifted.length > 0) print(summary(drifted.length));
    for (const view of shown) printClient(view, now);
    if (views.length > shown.length) print(`… and ${views.length - shown.length} more: --limit N shows more of them`);
  }
  for (const { app, client, error } of unread) note(`${client ?? app}: what it shows is not known: ${error}`);
  for (const line of unknown) note(line);
}

function summary(count: number): string {
  if (count === 0) return 'Nothing has drifted: servers show what is known.';
  return `${count} ${count === 1 ? 'client has' : 'clients have'} drifted. Who did it is not known: the API does not tell.`;
}

function printClient(view: DriftView, now: number): void {
  const { client, client_id: clientId, enrolment, since, what, by_itself: byItself, to_do: toDo } = view;
  print('');
  const age =
    since === null
      ? 'not drifted'
      : `first seen ${formatDuration(Math.max(0, now - Date.parse(since)))} ago, at ${since}`;
  print(`${client}  client_id ${shortMessage(clientId)}  ${enrolment}  ${age}`);
  for (const { text } of what) print(`  - ${text}`);
  printTable(
    ['', 'ALG', 'JWKS_URI', 'KEY', 'KTY', 'KEY ALG', 'ORIGIN', 'PEM'],
    [...(view.ours === null ? [] : rows('rekeyd', view.ours)), ...rows('server', view.server)],
  );
  print(`By itself: ${byItself}`);
  if (toDo !== null) print(`To do: ${toDo}`);
}

function rows(side: string, { alg, jwks_uri: uri, keys }: DocumentView): readonly (readonly string[])[] {
  const first = [side, cell(alg), cell(uri)];
  if (keys.length === 0) return [[...first, '-', '-', '-', '-', '-']];
  return keys.map((key, index) => [...(index === 0 ? first : ['', '', '']), ...keyRow(key)]);
}

function keyRow({ kid, id, kty, alg, origin, pem }: KeyView): readonly string[] {
  return [cell(kid ?? id), cell(kty), cell(alg), origin, pem];
}

/** A server may say anything. */
function cell(text: string | null): string {
  return text === null ? '-' : shortMessage(text);
}
