/** Reporting keys that leaked: whose, what would happen, and then the request. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { Request } from '../../../../jobs/schemas.ts';
import type { Config } from '../../../config/model.ts';
import { APP_PATH, parseReference, REFERENCE } from '../../../core/client.ts';
import { ProblemError } from '../../problem.ts';
import type { PageCall, PageRoute, Visitor } from '../routes.ts';
import { rotateOrShow } from './asking.ts';
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
      return rotateOrShow(call, asked, { action: '/compromise', back: '/' });
    },
  },
];

interface Leak {
  readonly select: Request['select'];
  /** A certain key of the client; null: the one in use, or all that is selected. */
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
      throw wrong('Say whose keys leaked.');
  }
}

function short(value: string): string {
  if (value.length >= 1 && value.length <= 500) return value;
  throw wrong('Fill in the field beside what you chose, with at most 500 characters.');
}

function wrong(toDo: string): ProblemError {
  return new ProblemError(400, `This report is not complete. Go back. ${toDo}`);
}

/** @param query what is filled in already, such as by the page of a client */
function page(visitor: Visitor, query: URLSearchParams, config: Config): SafeHtml {
  const { only } = visitor.principal;
  const chosen = query.get('what') ?? 'client';
  const row = (value: string, label: string, field: SafeHtml | null, help: string) =>
    html`<div class="field choice"><input type="radio" name="what" id="what-${value}" value="${value}" required${value === chosen ? html` checked` : null} aria-describedby="what-${value}-help">
<label for="what-${value}">${label}</label><span class="hint" id="what-${value}-help">${help}</span>${field}</div>`;
  const text = (name: string, label: string, value = '') =>
    html`<input type="text" name="${name}" aria-label="${label}" placeholder="${label}" value="${query.get(name) ?? value}" maxlength="500" autocomplete="off" spellcheck="false">`;
  const choice = (name: string, label: string, values: readonly string[]) =>
    html`<select name="${name}" aria-label="${label}">${values.map((value) => html`<option value="${value}"${value === query.get(name) ? html` selected` : null}>${value}</option>`)}</select>`;
  const apps = config.deployments.flatMap(({ id, apps: own }) => own.map(({ slug }) => `${id}/${slug}`));
  const mayAll = only === null;
  const own = mayAll ? apps : apps.filter((app) => app === only);
  const fields = html`<fieldset><legend>Whose keys leaked?</legend>
${row('client', 'One client', html`${text('client', 'Client, as deployment/app-slug/oauth_client_id', only !== null && REFERENCE.test(only) ? only : '')}${text('client_kid', 'Name of the key (kid); empty: the one in use')}`, 'The key in use, or the one that you name in the second field.')}
${mayAll ? row('kid', 'A key', text('kid', 'Name of the key (kid)'), 'Every client that has the key with this name (kid), in whatever state.') : null}
${own.length > 0 ? row('app', 'All clients of an app', choice('app', 'App', own), 'Their keys in use.') : null}
${mayAll ? row('policy', 'All clients of a policy', choice('policy', 'Policy', Object.keys(config.policies)), 'Their keys in use.') : null}
${mayAll ? row('host', 'A host', text('host', 'Host name of the signers'), 'All keys of the clients that have a signer on this host.') : null}
${mayAll ? row('kek', 'A key encryption key (KEK)', text('kek', 'Id of the KEK'), 'All keys that are, or were, encrypted under it.') : null}
${mayAll ? row('all', 'All clients', null, 'Every key in use.') : null}
</fieldset>
<details><summary>More</summary>
${checkField({ name: 'take_over', id: 'take-over', label: 'Also clients that are not enrolled', help: 'Their applications must take the new keys from their key folders at once, or they can no longer sign in.' })}
${checkField({ name: 'keep_standby', id: 'keep-standby', label: 'Use the keys that are kept ready', help: 'Only where the key leaked in another way than from its signers: they hold the standby key, too. Not with a host or a KEK.' })}
</details>
${reasonField('compromise')}`;
  return html`<header class="head"><h1>Report leaked keys</h1></header>
<p>Keys that leaked are replaced at once, ahead of all other work, without an overlap. They are never used again. You see what would happen before anything is done.</p>
${form(visitor, { action: '/compromise', verb: 'Show what would happen' }, fields)}`;
}
