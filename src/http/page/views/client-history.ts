/** What happened to a client: its rotations and its audit entries. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { AuditEntry } from '../../../core/audit.ts';
import type { RotationView } from '../../../status/views.ts';
import type { Icon } from './icons.ts';
import { type Cell, table } from './table.ts';
import { badge, keyName, moment, momentOr, NONE, type Tone } from './words.ts';

const STATES: Readonly<Record<RotationView['state'], readonly [Tone, Icon, string]>> = {
  running: ['busy', 'turn', 'running'],
  active: ['busy', 'check', 'active'],
  finished: ['good', 'check', 'finished'],
  failed: ['alarm', 'cross', 'failed'],
  rolled_back: ['warn', 'turn', 'rolled back'],
};

export function rotationsTable(rotations: readonly RotationView[], now: number): SafeHtml {
  const rows = rotations.map((rotation): Cell[] => {
    const [tone, name, word] = STATES[rotation.state];
    const { strategy, rollback, error, replaces, kid, claimed_by: claimedBy } = rotation;
    return [
      moment(rotation.started_at, now),
      html`${badge(tone, name, word)}${error === null ? null : html`<span class="sub why">${error}</span>`}`,
      html`${strategy}${rollback ? html`<span class="sub">rollback</span>` : null}`,
      html`${keyName(kid)}<span class="sub">${replaces === null ? 'in place of one that is not ours' : html`in place of ${keyName(replaces)}`}</span>`,
      html`${rotation.reason}<span class="sub">${rotation.actor}${claimedBy === null ? null : ` (${claimedBy})`}</span>`,
      momentOr(rotation.ended_at, now),
    ];
  });
  const heads = ['Started', 'State', 'Strategy', 'New key', 'Asked', 'Ended'];
  return table({ caption: 'Rotations', quiet: true, heads, rows, none: 'It was not rotated yet.' });
}

export function entriesTable(entries: readonly AuditEntry[], now: number): SafeHtml {
  const rows = entries.map((entry): Cell[] => [
    html`<span class="seq">${entry.seq}</span>`,
    moment(entry.time, now),
    html`<code>${entry.type}</code>`,
    html`${entry.reason}<span class="sub">${entry.actor}${entry.claimed_by === undefined ? null : ` (${entry.claimed_by})`}</span>`,
    more(entry),
  ]);
  const heads = ['No.', 'Time', 'What', 'Why, and who', 'More'];
  return table({
    caption: 'Audit entries, the newest first',
    quiet: true,
    heads,
    rows,
    none: 'No entry of it is among the newest of the audit log.',
  });
}

function more({ seq, data, rotation }: AuditEntry): Cell {
  const all: Readonly<Record<string, unknown>> = rotation === null ? data : { rotation, ...data };
  const said = Object.entries(all).filter(([, value]) => value !== null && value !== '');
  if (said.length === 0) return NONE;
  const items = said.map(
    ([name, value]) =>
      html`<div><dt>${name}</dt><dd>${Array.isArray(value) ? value.join(', ') : String(value)}</dd></div>`,
  );
  return html`<details id="entry-${seq}"><summary>Data</summary><dl class="data">${items}</dl></details>`;
}
