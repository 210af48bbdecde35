/** An item of a list: an icon, a few words, and a sentence. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { type Icon, icon } from './icons.ts';
import type { Tone } from './words.ts';

export interface Item {
  readonly tone: Tone;
  readonly icon: Icon;
  readonly what: string;
  readonly why: SafeHtml | string;
  /** Such as a link. */
  readonly beside?: SafeHtml | null;
}

export function item({ tone, icon: name, what, why, beside = null }: Item): SafeHtml {
  return html`<li class="need ${tone}">${icon(name)}<div><strong>${what}</strong><p>${why}</p></div>${beside}</li>`;
}
