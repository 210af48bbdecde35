/** What happened to a client: its rotations and its audit entries. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { AuditEntry } from '../../../../core/audit.ts';
import { formatDuration } from '../../../../core/duration.ts';
import type { RotationView } from '../../../../status/views.ts';
import type { Icon } from '../icons.ts';
import { type Cell, table } from '../table.ts';
import { badge, counted, keyName, moment, prose, type Tone } from '../words.ts';

const STATES: Readonly<Record<RotationView['state'], readonly [Tone, Icon, string]>> = {
  running: ['busy', 'turn', 'running'],
  active: ['busy', 'check', 'active'],
  finished: ['good', 'check', 'finished'],
  failed: ['alarm', 'cross', 'failed'],
  rolled_back: ['warn', 'turn', 'rolled back'],
};

export function rotationBadge(state: RotationView['state']): SafeHtml {
  const [tone, name, word] = STATES[state];
  return badge(tone, name, word);
}

export function rotationsTable(rotations: readonly RotationView[], now: number): SafeHtml {
  const rows = rotations.map((rotation): Cell[] => {
    const { state, strategy, rollback, error, replaces, kid } = rotation;
    const what = html`${kid === null ? 'no key was made' : keyName(kid)}<span class="sub">${replaces === null ? 'in place of a foreign key' : html`in place of ${keyName(replaces)}`}</span>`;
    return [
      html`${moment(rotation.started_at, now)}<span class="sub">${took(rotation)}</span>`,
      html`${rotationBadge(state)}<span class="sub">${strategy}${rollback ? ', rollback' : null}</span>${error === null ? null : html`<span class="sub why">${prose(error)}</span>`}`,
      what,
      why(rotation),
    ];
  });
  const heads = ['Started', 'State', 'New key', 'Why, and who'];
  return table({ caption: 'Rotations', quiet: true, heads, rows, none: 'No rotation is known.' });
}

function took({ started_at: began, ended_at: ended }: RotationView): string {
  return ended === null
    ? 'not ended yet'
    : `took ${formatDuration(Math.max(0, Date.parse(ended) - Date.parse(began)))}`;
}

function why({
  reason,
  actor,
  claimed_by: claimedBy,
}: Pick<AuditEntry, 'reason' | 'actor'> & { readonly claimed_by?: string | null }): SafeHtml {
  const who = claimedBy === undefined || claimedBy === null || claimedBy === actor ? actor : `${actor} (${claimedBy})`;
  return html`<div class="roomy">${prose(reason)}<span class="sub">${who}</span></div>`;
}

/** How many entries are shown at once; the others can be unfolded. */
const FIRST = 10;

export function entriesTable(entries: readonly AuditEntry[], now: number): SafeHtml {
  const [first, others] = [entries.slice(0, FIRST), entries.slice(FIRST)];
  if (others.length === 0) return entryRows(first, now, 'Audit entries, the newest first');
  return html`${entryRows(first, now, 'Newest audit entries')}<details id="older-entries"><summary>${counted(others.length, 'older entry', 'older entries')}</summary>${entryRows(others, now, 'Older audit entries')}</details>`;
}

function entryRows(entries: readonly AuditEntry[], now: number, caption: string): SafeHtml {
  const rows = entries.map((entry): Cell[] => [
    String(entry.seq),
    moment(entry.time, now),
    html`<code class="type">${entry.type}</code>`,
    html`${why(entry)}${more(entry)}`,
  ]);
  const heads = ['No.', 'Time', 'What', 'Why, and who'];
  const none = 'No audit entry of this client was found. `rekeyd audit export DIR` writes the whole log.';
  return table({ caption, quiet: true, heads, rows, none, numbers: ['No.'] });
}

function more({ seq, data, rotation }: AuditEntry): SafeHtml | null {
  const all: Readonly<Record<string, unknown>> = rotation === null ? data : { rotation, ...data };
  const said = Object.entries(all).filter(([, value]) => value !== null && value !== '');
  if (said.length === 0) return null;
  const items = said.map(
    ([name, value]) =>
      html`<div><dt>${name}</dt><dd>${Array.isArray(value) ? value.join(', ') : String(value)}</dd></div>`,
  );
  return html`<details id="entry-${seq}"><summary>Data</summary><dl class="data pairs">${items}</dl></details>`;
}
