/** The fields that forms are made of: each with a label, and with help in plain words where the label does not say it all. */
import { randomBytes } from 'node:crypto';
import { html, type SafeHtml } from '@remix-run/html-template';
import type { Visitor } from '../routes.ts';
import { prose } from '../views/words.ts';

export interface Form {
  /** A path of ours. */
  readonly action: string;
  /** Of the button. */
  readonly verb: string;
  /** It takes a key away, or cannot be undone. */
  readonly danger?: boolean;
  /** Absent: one that no other form has. */
  readonly nonce?: string;
}

/** Each form has a number, the nonce: sent twice, it is done once. */
export function form(
  visitor: Visitor,
  { action, verb, danger = false, nonce = newNonce() }: Form,
  fields: SafeHtml,
): SafeHtml {
  return html`<form method="post" action="${action}" class="action">
<input type="hidden" name="csrf" value="${visitor.csrf}"><input type="hidden" name="nonce" value="${nonce}">
${fields}
<p class="field buttons"><button type="submit" class="${danger ? 'danger' : 'primary'}">${verb}</button></p></form>`;
}

/** 22 characters: what {@link ./doing.ts} takes. */
export function newNonce(): string {
  return randomBytes(16).toString('base64url');
}

export interface Field {
  readonly name: string;
  readonly label: string;
  /** Unique on its page. */
  readonly id: string;
  readonly help?: string;
  readonly value?: string;
  readonly required?: boolean;
  readonly pattern?: string;
  readonly most?: number;
}

function textField({ name, label, id, help, value = '', required = false, pattern, most }: Field): SafeHtml {
  const more = html`${pattern === undefined ? null : html` pattern="${pattern}"`}${most === undefined ? null : html` maxlength="${most}"`}${required ? html` required` : null}`;
  return html`<p class="field"><label for="${id}">${label}</label>
<input id="${id}" name="${name}" type="text" value="${value}" autocomplete="off" spellcheck="false"${more}${describedBy(id, help)}>${hint(id, help)}</p>`;
}

/** Every action has one: it stands in the audit log. */
export function reasonField(id: string, value = ''): SafeHtml {
  const help = 'Goes to the audit log, word for word. 1 to 500 characters, and no secret.';
  return textField({ name: 'reason', label: 'Reason', id: `${id}-reason`, help, value, required: true, most: 500 });
}

export interface Check extends Pick<Field, 'name' | 'label' | 'id' | 'help' | 'value' | 'required'> {
  readonly checked?: boolean;
}

export function checkField({
  name,
  label,
  id,
  help,
  value = 'yes',
  required = false,
  checked = false,
}: Check): SafeHtml {
  return html`<p class="field check"><input id="${id}" name="${name}" type="checkbox" value="${value}"${required ? html` required` : null}${checked ? html` checked` : null}${describedBy(id, help)}>
<label for="${id}">${label}</label>${hint(id, help)}</p>`;
}

export interface Choice extends Pick<Field, 'name' | 'label' | 'id' | 'help' | 'value'> {
  /** What is sent, and what is read. */
  readonly options: readonly (readonly [value: string, text: string])[];
}

function choiceField({ name, label, id, help, value, options }: Choice): SafeHtml {
  const shown = options.map(
    ([one, text]) => html`<option value="${one}"${one === value ? html` selected` : null}>${text}</option>`,
  );
  return html`<p class="field"><label for="${id}">${label}</label>
<select id="${id}" name="${name}"${describedBy(id, help)}>${shown}</select>${hint(id, help)}</p>`;
}

/** Values of an earlier form, sent again with this one. */
export function hiddenFields(values: Iterable<readonly [string, string]>): SafeHtml {
  return html`${[...values].map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}`;
}

/** For how long a pause lasts. */
export function pauseLength(id: string): SafeHtml {
  return choiceField({
    ...{ name: 'for', label: 'For', id: `${id}-for`, value: '' },
    options: [
      ['', 'until somebody resumes it'],
      ['1h', '1 hour'],
      ['4h', '4 hours'],
      ['1d', '1 day'],
      ['3d', '3 days'],
      ['7d', '7 days'],
      ['30d', '30 days'],
    ],
  });
}

function describedBy(id: string, help: string | undefined): SafeHtml | null {
  return help === undefined ? null : html` aria-describedby="${id}-help"`;
}

function hint(id: string, help: string | undefined): SafeHtml | null {
  return help === undefined ? null : html`<span class="hint" id="${id}-help">${prose(help)}</span>`;
}
