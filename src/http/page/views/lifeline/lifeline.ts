/** The lifeline of a client: its last rotation step by step, all its keys over time, what comes next, and the same in tables. */

import { html, type SafeHtml } from '@remix-run/html-template';
import { shortKid } from '../../../../core/keys.ts';
import type { ClientView, Lifeline, LifelineKey, LifelineMark } from '../../../../status/views.ts';
import { moment, prose } from '../words.ts';
import { markShape, picture, type Row, utc } from './picture.ts';
import { evenScale, steppedScale, ticksOf } from './scale.ts';
import { lifelineTables } from './tables.ts';

export function lifeline(view: ClientView): SafeHtml {
  const { lifeline: life } = view;
  if (life.keys.length === 0) return html`<p class="empty">No key of this client is known yet.</p>`;
  return html`${rotationFigure(view)}${wholeFigure(life)}${legend(life)}${comesNext(life)}${lifelineTables(life)}`;
}

/** To scale: among months a rotation of seconds is a thin line. */
function wholeFigure(life: Lifeline): SafeHtml {
  const scale = evenScale(life.from, horizon(life));
  const axis = (top: number) => ({
    height: 22,
    body: html`${ticksOf(scale).map(({ at, text }, index) => {
      const x = scale.at(at).toFixed(3);
      return html`<g class="tick ${index % 2 === 0 ? 'always' : 'wide'}"><line x1="${x}%" x2="${x}%" y1="14" y2="${top + 4}"/><text x="${x}%" y="${top + 16}" text-anchor="middle">${text}</text></g>`;
    })}`,
  });
  const name = 'whole';
  const title = `Keys from ${utc(life.from)} until ${utc(scale.until)}. The table below says the same.`;
  const { marks, now } = life;
  const planned = life.planned.filter(({ at }) => at <= scale.until);
  return html`<figure><figcaption><strong>All its keys</strong></figcaption>${picture({ name, title, scale, rows: lanes(life.keys, scale.at), marks, planned, now, axis })}</figure>`;
}

/** Where the picture ends. The next rotation may be planned so late that a short history would have no room: then only the list names it. */
function horizon({ from, now, until, keys, planned }: Lifeline): number {
  const own = planned.filter(({ kid }) => kid !== null).map(({ at }) => at);
  const leaving = keys.flatMap(({ until }) => until ?? []);
  const near = Math.max(now, ...own, ...leaving);
  return Math.max(near, until - now <= now - from ? until : near);
}

/** Keys that follow one another share a row: few rows, however many keys. */
function lanes(keys: readonly LifelineKey[], at: (ms: number) => number): readonly Row[] {
  const rows: { readonly keys: LifelineKey[]; end: number }[] = [];
  for (const key of keys) {
    const start = at(key.spans[0]?.from ?? 0);
    const last = key.spans.at(-1);
    const end = at(last?.to ?? key.until ?? Number.MAX_SAFE_INTEGER);
    const free = rows.find((row) => start - row.end > 0.3);
    if (free === undefined) rows.push({ keys: [key], end });
    else {
      free.keys.push(key);
      free.end = end;
    }
  }
  return rows.map(({ keys }) => ({ keys, label: null }));
}

/** What belongs to a rotation may be noted a moment after its end. In ms. */
const AFTER_MS = 1_000;

/** Each step has room, however short it was. Null: no rotation is known, or it has no steps yet. */
function rotationFigure({ lifeline: life, rotations: [last] }: ClientView): SafeHtml | null {
  if (last === undefined || last.kid === null) return null;
  const began = Date.parse(last.started_at);
  const ended = last.ended_at === null ? null : Date.parse(last.ended_at);
  const isIn = (time: number) => time >= began && (ended === null || time <= ended + AFTER_MS);
  const isOld = ({ kid, ours, spans }: LifelineKey) =>
    last.replaces === null
      ? !ours && spans.some(({ from, to }) => from <= began && (to === null || to >= began))
      : kid === last.replaces;
  const keys = life.keys.filter((key) => isOld(key) || key.kid === last.kid);
  const names = keys.map(({ kid }) => kid);
  const marks = life.marks.filter(({ at, kid }) => isIn(at) && (kid === null || names.includes(kid)));
  const planned = ended === null ? life.planned.filter(({ kid }) => kid !== null && names.includes(kid)) : [];
  const edges = keys
    .flatMap(({ spans, until }) => [...spans.flatMap(({ from, to }) => [from, to]), until])
    .filter((edge) => edge !== null);
  const times = [began, ended ?? life.now, ...edges, ...marks.map(({ at }) => at), ...planned.map(({ at }) => at)];
  const scale = steppedScale(times.filter(isIn));
  if (keys.length === 0 || scale.gaps.length < 2) return null;
  const rows = keys.map((key) => ({ keys: [inside(key, scale)], label: rowLabel(key, last.kid) }));
  const axis = (top: number) => steps(scale, top);
  const now = ended === null ? life.now : null;
  const title = `The steps of rotation ${last.id}, from ${utc(scale.from)} until ${utc(scale.until)}. The table below says the same.`;
  const head = ended === null ? 'The rotation under way' : 'Its last rotation';
  return html`<figure><figcaption><strong>${head}</strong> step by step, not to scale. Each gap says how long it took.</figcaption>${picture({ name: 'steps', title, scale, rows, marks, planned, now, axis })}</figure>`;
}

/** Without the spans that lie outside of the picture. */
function inside(key: LifelineKey, { from, until }: { readonly from: number; readonly until: number }): LifelineKey {
  const spans = key.spans.filter((span) => span.from < until && (span.to === null || span.to > from));
  return { ...key, spans: spans.length === 0 ? key.spans.slice(-1) : spans };
}

function rowLabel({ kid, alg, ours }: LifelineKey, incoming: string | null): string {
  const role = kid === incoming ? 'New key' : ours ? 'Old key' : 'Foreign key';
  const name = kid === null ? role : `${role} ${shortKid(kid)}`;
  return alg === null ? name : `${name}, ${alg}`;
}

/** Narrower than this, in percent, a gap does not say how long it is: on a phone, and on any screen. */
const NARROW = 14;
const NARROWEST = 6;

function steps(
  scale: ReturnType<typeof steppedScale>,
  top: number,
): { readonly body: SafeHtml; readonly height: number } {
  const line = (at: number) => {
    const x = scale.at(at).toFixed(3);
    return html`<line class="step" x1="${x}%" x2="${x}%" y1="14" y2="${top + 4}"/>`;
  };
  const gaps = scale.gaps.map(({ from, until, text }) => {
    const [left, right] = [scale.at(from), scale.at(until)];
    const size = right - left < NARROWEST ? 'never' : right - left < NARROW ? 'wide' : 'always';
    const word = html`<text class="${size}" x="${((left + right) / 2).toFixed(3)}%" y="${top + 15}" text-anchor="middle">${text}</text>`;
    return html`${line(until)}${size === 'never' ? null : word}`;
  });
  const ends = html`<text x="0" y="${top + 33}">${utc(scale.from)}</text><text x="100%" y="${top + 33}" text-anchor="end">${utc(scale.until).slice(scale.until - scale.from < 86_400_000 ? 11 : 0)}</text>`;
  return { height: 38, body: html`${line(scale.from)}${gaps}${ends}` };
}

/** The states and marks that the pictures have. */
function legend({ keys, marks, planned }: Lifeline): SafeHtml {
  const states = new Set(keys.flatMap(({ spans }) => spans.map(({ state }) => state)));
  const swatches = [...states].map((state) => {
    const fill = state === 'active' ? null : html` fill="url(#whole-${state})"`;
    return html`<li><svg width="26" height="14" aria-hidden="true"><rect class="under ${state}" width="26" height="14"/><rect class="bar ${state} ours" width="26" height="14"${fill}/></svg>${state}</li>`;
  });
  const words = { patched: 'PATCH', accepted: 'proof: accepted', refused: 'proof: refused' } as const satisfies Record<
    LifelineMark['what'],
    string
  >;
  const kinds = [...new Set(marks.map(({ what }) => what))].map(
    (what) =>
      html`<li><svg class="mark ${what}" width="18" height="18" viewBox="-9 -9 18 18" aria-hidden="true">${markShape(what)}</svg>${words[what]}</li>`,
  );
  const hasPlans = planned.length > 0 || keys.some(({ until }) => until !== null);
  const plan = hasPlans
    ? html`<li><svg class="planned" width="26" height="14" aria-hidden="true"><rect class="to-come" x="0.5" y="0.5" width="25" height="13"/></svg>planned</li>`
    : null;
  return html`<ul class="legend" aria-hidden="true">${swatches}${kinds}${plan}</ul>`;
}

function comesNext({ planned, now }: Lifeline): SafeHtml | null {
  if (planned.length === 0) return null;
  const items = planned.map(
    ({ at, what, kid }) =>
      html`<li>${moment(at, now)}: ${prose(what)}${kid === null ? null : html` (<code title="${kid}">${shortKid(kid)}</code>)`}</li>`,
  );
  return html`<h3>What comes next, when all goes well</h3><ol class="plain next">${items}</ol>`;
}
