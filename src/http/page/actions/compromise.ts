/** Reporting keys that leaked: which keys, then what would happen, then the request. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { Request } from '../../../../jobs/schemas.ts';
import { appPaths } from '../../../config/lookup.ts';
import type { Config } from '../../../config/model.ts';
import { APP_PATH, parseReference, REFERENCE } from '../../../core/client.ts';
import { ProblemError } from '../../problem.ts';
import type { PageCall, PageRoute, Visitor } from '../routes.ts';
import { type Place, rotateOrShow, showDryRun } from './asking.ts';
import { checkField, form, reasonField } from './fields.ts';

export const compromiseActions: readonly PageRoute[] = [
  {
    ...{ method: 'GET', path: '/compromise', scope: 'rotate' },
    handle: async ({ context, visitor, query }: PageCall) => ({
      title: 'Report leaked keys',
      body: page(visitor, query, context.resources.config),
    }),
  },
  {
    ...{ method: 'POST', path: '/compromise', scope: 'rotate' },
    async handle(call: PageCall) {
      const { form: given } = call;
      const { select, kid } = leakIn(given);
      const asked = {
        ...{ select, compromised: kid === null ? (true as const) : { kid } },
        keep_standby: given.has('keep_standby'),
        take_over: given.has('take_over'),
      };
      return rotateOrShow(call, asked, REPORT);
    },
  },
  {
    ...{ method: 'GET', path: '/compromise/{asked}', scope: 'rotate' },
    handle: (call: PageCall) => showDryRun(call, REPORT),
  },
];

const REPORT: Place = { action: '/compromise', form: '/compromise', back: '/' };

interface Leak {
  readonly select: Request['select'];
  /** One key of the client; null: the key in use, or every key that `select` is about. */
  readonly kid: string | null;
}

/** @throws ProblemError 400 */
function leakIn(given: URLSearchParams): Leak {
  const what = given.get('what') ?? '';
  const value = (given.get(what) ?? '').trim();
  const certain = (given.get('client_kid') ?? '').trim();
  switch (what) {
    case 'client':
      if (!REFERENCE.test(value)) throw wrong('Write the client as deployment/app-slug/oauth_client_id.');
      return { select: { clients: [parseReference(value)] }, kid: certain === '' ? null : short(certain) };
    case 'app':
      if (!APP_PATH.test(value)) throw wrong('Write the app as deployment/app-slug.');
      return { select: { app: value }, kid: null };
    case 'kid':
      return { select: { kid: short(value) }, kid: null };
    case 'policy':
      return { select: { policy: short(value) }, kid: null };
    case 'kek':
      return { select: { kek: short(value) }, kid: null };
    case 'host':
      return { select: { host: short(value) }, kid: null };
    case 'all':
      return { select: { all: true }, kid: null };
    default:
      throw wrong('Choose which keys leaked.');
  }
}

function short(value: string): string {
  if (value.length >= 1 && value.length <= 500) return value;
  throw wrong('Fill in the field beside what you chose, with at most 500 characters.');
}

function wrong(toDo: string): ProblemError {
  return new ProblemError(400, `This report is not complete. Go back. ${toDo}`);
}

/** The fields that are folded away until one is filled in. */
const MORE = ['take_over', 'keep_standby'];

/** @param query what is filled in already, such as by the page of a client */
function page(visitor: Visitor, query: URLSearchParams, config: Config): SafeHtml {
  const { only } = visitor.principal;
  const apps = appPaths(config);
  const own = only === null ? apps : apps.filter((app) => app === only);
  const client = only !== null && REFERENCE.test(only) ? only : '';
  const rows: readonly Row[] = [
    {
      ...{ what: 'client', label: 'One client', help: 'The key in use, or the one that you name in the second field.' },
      field: html`${text(query, 'client', 'Client, as deployment/app-slug/oauth_client_id', client)}${text(query, 'client_kid', 'Name of the key (kid); empty: the one in use')}`,
    },
    ...(own.length === 0
      ? []
      : [
          {
            ...{ what: 'app', label: 'All clients of an app', help: 'Their keys in use.' },
            field: choice(query, 'app', 'App', own),
          },
        ]),
    ...(only === null ? wideRows(query, Object.keys(config.policies)) : []),
  ];
  const fields = html`<fieldset><legend>Which keys leaked?</legend>
${rows.map((row) => rowOf(row, query.get('what') ?? 'client'))}
</fieldset>
<details${MORE.some((name) => query.has(name)) ? html` open` : null}><summary>More</summary>
${checkField({ name: 'take_over', id: 'take-over', checked: query.has('take_over'), label: 'Also clients that are not enrolled', help: 'Their applications must take the new keys from their key folders at once, or they can no longer sign in.' })}
${checkField({ name: 'keep_standby', id: 'keep-standby', checked: query.has('keep_standby'), label: 'Use the keys that are kept ready', help: 'Only when the key did not leak from its signers, which hold the standby key too. Not with a host or a KEK.' })}
</details>
${reasonField('compromise')}`;
  return html`<header class="head"><h1>Report leaked keys</h1></header>
<p>Keys that leaked are replaced at once, ahead of all other work, without an overlap. They are never used again. First you see what would happen.</p>
${form(visitor, { action: '/compromise', verb: 'Show what would happen' }, fields)}`;
}

interface Row {
  /** One way to say which keys leaked. */
  readonly what: string;
  readonly label: string;
  readonly help: string;
  readonly field: SafeHtml | null;
}

/** For those who may act on all clients. */
function wideRows(query: URLSearchParams, policies: readonly string[]): readonly Row[] {
  return [
    {
      ...{ what: 'kid', label: 'A key', help: 'Every client that has a key with this name, in any state.' },
      field: text(query, 'kid', 'Name of the key (kid)'),
    },
    {
      ...{ what: 'policy', label: 'All clients of a policy', help: 'Their keys in use.' },
      field: choice(query, 'policy', 'Policy', policies),
    },
    {
      ...{ what: 'host', label: 'A host', help: 'All keys of the clients that have a signer on this host.' },
      field: text(query, 'host', 'Host name of the signers'),
    },
    {
      ...{ what: 'kek', label: 'A key encryption key (KEK)', help: 'All keys that are, or were, encrypted under it.' },
      field: text(query, 'kek', 'Id of the KEK'),
    },
    { what: 'all', label: 'All clients', help: 'Every key in use.', field: null },
  ];
}

function rowOf({ what, label, help, field }: Row, chosen: string): SafeHtml {
  const id = `what-${what}`;
  return html`<div class="field choice"><input type="radio" name="what" id="${id}" value="${what}" required${what === chosen ? html` checked` : null} aria-describedby="${id}-help">
<label for="${id}">${label}</label><span class="hint" id="${id}-help">${help}</span>${field}</div>`;
}

function text(query: URLSearchParams, name: string, label: string, value = ''): SafeHtml {
  return html`<div><label for="leak-${name}">${label}</label><input type="text" id="leak-${name}" name="${name}" value="${query.get(name) ?? value}" maxlength="500" autocomplete="off" spellcheck="false"></div>`;
}

function choice(query: URLSearchParams, name: string, label: string, values: readonly string[]): SafeHtml {
  const options = values.map(
    (value) => html`<option value="${value}"${value === query.get(name) ? html` selected` : null}>${value}</option>`,
  );
  return html`<div><label for="leak-${name}">${label}</label><select id="leak-${name}" name="${name}">${options}</select></div>`;
}
