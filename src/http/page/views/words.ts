/** How the page writes times, durations, numbers, keys, clients and states: everywhere the same, and with the words of `rekeyd status`. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { type ClientRef, splitReference } from '../../../core/client.ts';
import { formatDuration } from '../../../core/duration.ts';
import type { ClientState } from '../../../core/state.ts';
import { type Icon, icon } from './icons.ts';

/** Text with commands in backticks and times as in JSON: commands become code, times are written as everywhere here. */
export function prose(text: string): SafeHtml {
  const parts = text.split(/`([^`\n]+)`/);
  return html`${parts.map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : withTimes(part)))}`;
}

function withTimes(text: string): SafeHtml {
  const parts = text.split(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/);
  return html`${parts.map((part, index) => (index % 2 === 1 ? clock(part) : part))}`;
}

/** How urgently something needs a person. A word and an icon say it too, never a colour alone. */
export type Tone = 'alarm' | 'warn' | 'busy' | 'good' | 'calm';

/** A time in UTC, as logs have it, and how far from now. @param now ms since the epoch, on the store's clock */
export function moment(at: string | number, now: number): SafeHtml {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  return html`<span class="when">${clock(ms)} <span class="rel">${away(ms - now)}</span></span>`;
}

/** The same, and a dash for null. */
export function momentOr(at: string | number | null, now: number): SafeHtml {
  return at === null ? NONE : moment(at, now);
}

export const NONE = html`<span class="none">–</span>`;

/** `2026-11-27 03:12:04 UTC` */
export function clock(at: string | number): SafeHtml {
  const date = new Date(at);
  // Anything but a time is shown unchanged.
  if (Number.isNaN(date.getTime())) return html`<span>${at}</span>`;
  const text = date.toISOString();
  return html`<time datetime="${text}">${text.slice(0, 10)} ${text.slice(11, 19)} UTC</time>`;
}

/** `in 3 d 4 h`, `now`, `10 min ago` */
export function away(ms: number): string {
  if (Math.abs(ms) < 1_000) return 'now';
  return ms > 0 ? `in ${formatDuration(ms)}` : `${formatDuration(-ms)} ago`;
}

export function seconds(count: number): string {
  return formatDuration(Math.round(count) * 1_000);
}

/** `100,000` */
export function number(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 client`, `3 clients` */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Only the style sheet cuts it off: a copy has the whole name. */
export function keyName(kid: string | null): SafeHtml {
  return kid === null ? html`<span class="none">no name</span>` : html`<code class="kid" title="${kid}">${kid}</code>`;
}

export function clientPath(ref: ClientRef): string {
  const { deployment, app, id } = splitReference(ref);
  return `/clients/${[deployment, app, id].map(encodeURIComponent).join('/')}`;
}

export function clientLink(ref: ClientRef): SafeHtml {
  return html`<a class="ref" href="${clientPath(ref)}">${reference(ref)}</a>`;
}

/** The client's own part stands out. */
export function reference(ref: ClientRef): SafeHtml {
  const { deployment, app, id } = splitReference(ref);
  return html`<span class="ref-app">${deployment}/<wbr>${app}/<wbr></span><span class="ref-id">${id}</span>`;
}

/** `/clients?state=failed` */
export function clientsPath(query: Readonly<Record<string, string | null>>): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === null || value === '' ? [] : [[name, value] as const],
  );
  const text = new URLSearchParams(Object.fromEntries(given)).toString();
  return text === '' ? '/clients' : `/clients?${text}`;
}

interface StateWords {
  readonly tone: Tone;
  readonly icon: Icon;
  readonly means: string;
}

/** What each state means, in one sentence. */
export const STATES: Readonly<Record<ClientState, StateWords>> = {
  halted: { tone: 'alarm', icon: 'stop', means: 'rekeyd does nothing more for it until a person asks for it.' },
  failed: { tone: 'alarm', icon: 'cross', means: 'Its last rotation failed, or the server does not show its key.' },
  overdue: { tone: 'alarm', icon: 'late', means: 'Its key is older than must_by allows.' },
  paused: {
    tone: 'warn',
    icon: 'pause',
    means: 'No scheduled rotation begins: a person paused it, or its deployment is paused.',
  },
  throttled: {
    tone: 'warn',
    icon: 'slow',
    means: 'The API of its deployment asks us to wait. The rotation goes on by itself.',
  },
  rotating: { tone: 'busy', icon: 'turn', means: 'A rotation is under way.' },
  due: { tone: 'busy', icon: 'clock', means: 'Its schedule rotates it at the next tick.' },
  held: {
    tone: 'calm',
    icon: 'key',
    means:
      'Its key is in our store, but it is not known whether its application reads the key from us. Schedules leave it alone.',
  },
  found: { tone: 'calm', icon: 'ask', means: 'Its active key is not ours. Schedules leave it alone.' },
  healthy: { tone: 'good', icon: 'check', means: 'Its key signs in, and is not due.' },
};

export function stateBadge(state: ClientState): SafeHtml {
  const { tone, icon } = STATES[state];
  return badge(tone, icon, state);
}

export function badge(tone: Tone, name: Icon, word: string): SafeHtml {
  return html`<span class="badge ${tone}">${icon(name)}${word}</span>`;
}
