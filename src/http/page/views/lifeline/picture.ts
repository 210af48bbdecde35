/**
 * Keys over time, drawn as SVG. Places are in percent of the width and sizes in pixels, so a picture is as legible on a phone as on a wide screen. A state is
 * told by its pattern and its word; the tables beside the picture say the same in words.
 */

import { html, type SafeHtml } from '@remix-run/html-template';
import { shortKid } from '../../../../core/keys.ts';
import type { LifelineKey, LifelineMark, LifelineSpan, PlannedStep } from '../../../../status/views.ts';
import type { Scale } from './scale.ts';

export interface Row {
  readonly keys: readonly LifelineKey[];
  /** Above the bar. Null: names stand in the bars. */
  readonly label: string | null;
}

export interface Picture {
  /** A prefix for the ids of its patterns: a page has two pictures. */
  readonly name: string;
  /** What a screen reader says of it. */
  readonly title: string;
  readonly scale: Scale;
  readonly rows: readonly Row[];
  readonly marks: readonly LifelineMark[];
  readonly planned: readonly PlannedStep[];
  /** Null: it lies outside of the picture. */
  readonly now: number | null;
  /** Below the bars, from this height on, and its height. */
  axis(top: number): { readonly body: SafeHtml; readonly height: number };
}

const BAR = 22;
const LABEL = 20;
const BETWEEN = 10;
/** For the word `now`. */
const HEAD = 18;
/** For PATCHes. */
const STRIP = 24;

export function picture(drawn: Picture): SafeHtml {
  const { name, title, scale, rows, marks, planned, now } = drawn;
  const tops = rows.reduce<{ readonly at: readonly number[]; readonly next: number }>(
    ({ at, next }, { label }) => {
      const top = next + (label === null ? 0 : LABEL);
      return { at: [...at, top], next: top + BAR + BETWEEN };
    },
    { at: [], next: HEAD },
  );
  const strip = tops.next + STRIP / 2 - BETWEEN / 2;
  const bottom = tops.next + STRIP - BETWEEN / 2;
  const axis = drawn.axis(bottom);
  const bars = rows.map((row, index) => rowOf(row, tops.at[index] ?? HEAD, drawn));
  const onRow = (kid: string | null) =>
    rows.findIndex(({ keys }) => kid !== null && keys.some((key) => key.kid === kid));
  const heightOf = (kid: string | null) => {
    const top = tops.at[onRow(kid)];
    return top === undefined ? strip : top + BAR / 2;
  };
  return html`<svg class="lifeline" width="100%" height="${bottom + axis.height}" role="img" aria-label="${title}">${patterns(name)}
<line class="ground" x1="0" x2="100%" y1="${bottom}" y2="${bottom}"/>${axis.body}${bars}${planned.map((step) => plannedLine(step, scale, bottom))}${now === null ? null : nowLine(scale.at(now), bottom)}${rows.map((row, index) => rowLabel(row, tops.at[index] ?? HEAD, scale))}${together(marks, scale, heightOf).map(markGroup)}</svg>`;
}

/** Hatches that tell states apart without colour. */
function patterns(name: string): SafeHtml {
  return html`<defs><pattern id="${name}-pre-active" width="7" height="7" patternUnits="userSpaceOnUse"><path class="hatch pre-active" d="M-1 8 8-1"/></pattern><pattern id="${name}-published" width="8" height="8" patternUnits="userSpaceOnUse"><circle class="hatch published" cx="4" cy="4" r="1.2"/></pattern><pattern id="${name}-deactivated" width="6" height="5" patternUnits="userSpaceOnUse"><path class="hatch deactivated" d="M0 2.5h6"/></pattern><pattern id="${name}-compromised" width="8" height="8" patternUnits="userSpaceOnUse"><path class="hatch compromised" d="M0 0l8 8M8 0 0 8"/></pattern></defs>`;
}

function rowOf({ keys, label }: Row, top: number, { name, scale, now }: Picture): SafeHtml {
  return html`${keys.map((key) => {
    const spans = key.spans.map((span, index) => {
      const word = label === null && index === named(key) ? nameIn(key) : null;
      return spanBox(span, key, { name, scale, top, word }, now);
    });
    return html`${spans}${keyEnd(key, scale, top, now)}`;
  })}`;
}

/** In a bar, where there is little room. */
function nameIn({ kid }: LifelineKey): string {
  return kid === null ? 'foreign key' : shortKid(kid);
}

/** Drawn after all lines, so that none crosses it. */
function rowLabel({ keys, label }: Row, top: number, scale: Scale): SafeHtml | null {
  if (label === null) return null;
  return html`<text class="row-label" x="${firstOf(keys, scale)}%" y="${top - 6}">${label}</text>`;
}

/** A label may not begin where there is no room for it. */
function firstOf(keys: readonly LifelineKey[], scale: Scale): string {
  const first = Math.min(...keys.flatMap(({ spans }) => spans.map(({ from }) => scale.at(from))));
  return Math.min(first, 45).toFixed(3);
}

/** In a picture without labels the name stands in the span in which the key is used. */
function named({ spans }: LifelineKey): number {
  return Math.max(
    0,
    spans.findIndex(({ state }) => state === 'active' || state === 'compromised'),
  );
}

interface Place {
  readonly name: string;
  readonly scale: Scale;
  readonly top: number;
  /** Null: the state. */
  readonly word: string | null;
}

/** Narrower than this, in percent of the picture, a span has no word in it: on a phone, and on any screen. */
const NARROW = 18;
const NARROWEST = 7;

function spanBox(
  { state, from, to }: LifelineSpan,
  { kid, ours }: LifelineKey,
  { name, scale, top, word }: Place,
  now: number | null,
): SafeHtml {
  const [left, right] = [scale.at(from), scale.at(to ?? now ?? scale.until)];
  const width = right - left;
  const fill = state === 'active' ? null : html` fill="url(#${name}-${state})"`;
  const size = width < NARROWEST ? null : width < NARROW ? 'wide' : 'always';
  const text =
    size === null
      ? null
      : html`<text class="in-bar ${state} ${size}" x="${word === null ? 7 : 14}" y="${BAR / 2 + 4}">${word ?? state}</text>`;
  const title = `${ours ? '' : 'Foreign key '}${kid ?? 'without a known name'}: ${state} from ${utc(from)}${to === null ? ' on' : ` until ${utc(to)}`}`;
  return html`<svg class="span" x="${left.toFixed(3)}%" y="${top}" width="${Math.max(width, 0.4).toFixed(3)}%" height="${BAR}"><title>${title}</title><rect class="under ${state}" width="100%" height="100%"/><rect class="bar ${state} ${ours ? 'ours' : 'foreign'}" width="100%" height="100%"${fill}/>${text}</svg>`;
}

/** A dashed frame until the planned end of a key; a post where a key has ended. */
function keyEnd({ spans, until }: LifelineKey, scale: Scale, top: number, now: number | null): SafeHtml | null {
  const last = spans.at(-1);
  if (last === undefined) return null;
  if (last.to !== null) {
    const x = scale.at(last.to).toFixed(3);
    return html`<line class="post" x1="${x}%" x2="${x}%" y1="${top - 3}" y2="${top + BAR + 3}"/>`;
  }
  if (until === null || now === null || until <= now) return null;
  const [left, right] = [scale.at(now), scale.at(until)];
  return html`<rect class="to-come" x="${left.toFixed(3)}%" y="${top + 0.5}" width="${(right - left).toFixed(3)}%" height="${BAR - 1}"><title>It goes at ${utc(until)}, as planned</title></rect>`;
}

function plannedLine({ at, what }: PlannedStep, scale: Scale, bottom: number): SafeHtml {
  const x = scale.at(at).toFixed(3);
  return html`<g class="planned"><title>${utc(at)}, planned: ${what}</title><line class="wide-target" x1="${x}%" x2="${x}%" y1="${HEAD}" y2="${bottom}"/><line x1="${x}%" x2="${x}%" y1="${HEAD}" y2="${bottom}"/></g>`;
}

function nowLine(at: number, bottom: number): SafeHtml {
  const x = at.toFixed(3);
  const anchor = at > 92 ? 'end' : at < 8 ? 'start' : 'middle';
  return html`<g class="now"><line x1="${x}%" x2="${x}%" y1="${HEAD - 4}" y2="${bottom}"/><text x="${x}%" y="11" text-anchor="${anchor}">now</text></g>`;
}

interface Mark {
  readonly x: number;
  readonly y: number;
  readonly what: LifelineMark['what'];
  readonly titles: readonly string[];
}

/** Marks of one kind that would lie on one another, closer than this in percent of the width, are one. */
const CLOSE = 1.6;

function together(
  marks: readonly LifelineMark[],
  scale: Scale,
  heightOf: (kid: string | null) => number,
): readonly Mark[] {
  const placed: Mark[] = [];
  for (const { at, what, kid } of marks.toSorted((a, b) => a.at - b.at)) {
    const [x, y, title] = [scale.at(at), heightOf(what === 'patched' ? null : kid), markTitle(at, what, kid)];
    const index = placed.findLastIndex((mark) => mark.what === what && mark.y === y && x - mark.x < CLOSE);
    const near = placed[index];
    if (near === undefined) placed.push({ x, y, what, titles: [title] });
    else placed[index] = { ...near, titles: [...near.titles, title] };
  }
  return placed;
}

function markTitle(at: number, what: LifelineMark['what'], kid: string | null): string {
  const key = kid === null ? 'the key' : `key ${kid}`;
  const said = { patched: 'PATCH', accepted: `proof: ${key} was accepted`, refused: `proof: ${key} was refused` };
  return `${utc(at)} ${said[what]}`;
}

function markGroup({ x, y, what, titles }: Mark): SafeHtml {
  return html`<svg class="mark ${what}" x="${x.toFixed(3)}%" y="${y}" overflow="visible"><title>${titles.join('; ')}</title>${markShape(what)}</svg>`;
}

/** Around the point 0, 0. */
export function markShape(what: LifelineMark['what']): SafeHtml {
  switch (what) {
    case 'patched':
      return html`<path class="shape" d="M0-6.5 6 5H-6z"/>`;
    case 'accepted':
      return html`<circle class="shape" r="7.5"/><path class="sign" d="M-3.4.2-1 2.8 3.4-2.6"/>`;
    case 'refused':
      return html`<circle class="shape" r="7.5"/><path class="sign" d="M-2.8-2.8 2.8 2.8M2.8-2.8-2.8 2.8"/>`;
    default:
      return what satisfies never;
  }
}

export function utc(at: number): string {
  const text = new Date(at).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`;
}
