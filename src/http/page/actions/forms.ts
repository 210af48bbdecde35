/** The forms of the actions on one client: only those that make sense for it as it is. They work without JavaScript. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { ClientStatus } from '../../../status/model.ts';
import type { Visitor } from '../routes.ts';

/** @returns nothing for a visitor who may not act */
export function clientForms(visitor: Visitor, _status: ClientStatus): SafeHtml {
  return visitor.mayAct ? html`<section><h2>Actions</h2></section>` : html``;
}
