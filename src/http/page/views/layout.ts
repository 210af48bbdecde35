/** What stands around each page. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { Visitor } from '../routes.ts';

export interface Page {
  readonly title: string;
  readonly body: SafeHtml;
  /** Null: nobody has signed in. */
  readonly visitor: Visitor | null;
  /** What the last action came to; null: nothing to tell. */
  readonly notice: string | null;
}

export function layout({ title, body, visitor, notice }: Page): SafeHtml {
  const leave =
    visitor === null
      ? null
      : html`<form method="post" action="/sign-out"><input type="hidden" name="csrf" value="${visitor.csrf}"><button>Sign out</button></form>`;
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title} · rekeyd</title></head>
<body>
<header><nav><a href="/">Fleet</a> <a href="/clients">Clients</a></nav>${leave}</header>
<main>${notice === null ? null : html`<p role="status">${notice}</p>`}${body}</main>
</body>
</html>`;
}
