/** The frame of each page: head, navigation, notice and footer. */

import { html, type SafeHtml } from '@remix-run/html-template';
import packageFile from '../../../../package.json' with { type: 'json' };
import { assetPath } from '../assets.ts';
import type { Visitor } from '../routes.ts';
import { prose } from './words.ts';

export interface Page {
  /** The title of the window. */
  readonly title: string;
  readonly body: SafeHtml;
  /** Null: not signed in. */
  readonly visitor: Visitor | null;
  /** The outcome of the last action; shown once. */
  readonly notice: string | null;
  /** The path of the page: its entry of the navigation is marked. */
  readonly path?: string;
}

/** A key on a shield of one colour, legible on light and dark tabs. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%23205e8c'/%3E%3Cg fill='none' stroke='white' stroke-width='3' stroke-linecap='round'%3E%3Ccircle cx='11' cy='16' r='5'/%3E%3Cpath d='M16 16h11M23 16v5'/%3E%3C/g%3E%3C/svg%3E";

export function layout({ title, body, visitor, notice, path = '' }: Page): SafeHtml {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title} · rekeyd</title><link rel="icon" href="${ICON}"><link rel="stylesheet" href="${assetPath('page.css')}"><script src="${assetPath('page.js')}" defer></script></head>
<body><a class="skip" href="#main">Skip to the content</a>
<header class="top"><div class="page-width"><a class="brand" href="/">rekeyd</a>${visitor === null ? null : html`${navigation(visitor, path)}<p id="live" class="live" role="status"></p>${who(visitor)}`}</div></header>
<main id="main" class="page-width" tabindex="-1">${notice === null ? null : html`<div class="notice" role="status"><p>${prose(notice)}</p></div>`}${body}</main>
<footer class="bottom"><div class="page-width"><span>rekeyd ${packageFile.version}</span></div></footer></body></html>`;
}

/** Only pages that the visitor may open. */
function navigation({ mayAct, principal }: Visitor, path: string): SafeHtml {
  const isWhole = principal.only === null;
  const entries = [
    { to: '/', text: 'Fleet', shown: isWhole },
    { to: '/clients', text: 'Clients', shown: true },
    { to: '/compromise', text: 'Report a compromise', shown: mayAct },
    { to: '/queues', text: 'Queues', shown: isWhole },
  ];
  const isHere = (to: string) => (to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`));
  const items = entries
    .filter(({ shown }) => shown)
    .map(({ to, text }) => html`<li><a href="${to}"${isHere(to) ? html` aria-current="page"` : null}>${text}</a></li>`);
  return html`<nav aria-label="Pages"><ul>${items}</ul></nav>`;
}

function who({ principal, csrf, mayAct }: Visitor): SafeHtml {
  const may = mayAct ? 'may act' : 'may read';
  const only = principal.only === null ? null : html`, only ${principal.only}`;
  return html`<form class="who" method="post" action="/sign-out"><input type="hidden" name="csrf" value="${csrf}"><span>${principal.claimedBy} <span class="sub">${may}${only}</span></span><button type="submit">Sign out</button></form>`;
}
