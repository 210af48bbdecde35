/** One client: its state and what to do, its keys over time, its signers, the document on its server, its rotations and audit entries. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { exposureLine } from '../../../../status/client/exposure.ts';
import type { ClientStatus } from '../../../../status/model.ts';
import type { ClientView } from '../../../../status/views.ts';
import { badges } from '../clients.ts';
import { type Item, item } from '../item.ts';
import { lifeline } from '../lifeline/lifeline.ts';
import { badge, clientsPath, clock, moment, momentOr, NONE, prose, reference, STATES } from '../words.ts';
import { documents } from './documents.ts';
import { entriesTable, rotationsTable } from './history.ts';
import { keysTable, signers } from './keys.ts';

/** @param actions forms for those that may use them; null for others */
export function clientPage(view: ClientView, actions: SafeHtml | null): SafeHtml {
  const { status, lifeline: life } = view;
  const now = life.now;
  return html`<header class="head" data-follow="/live?client=${encodeURIComponent(status.client)}"><p class="crumbs"><a href="/clients">Clients</a> /</p><h1>${reference(status.client)}</h1>${actions === null ? null : html`<p class="to-actions"><a href="#actions">To the actions</a></p>`}</header>
<section data-live="state">${standing(view, now)}</section>
<div class="${actions === null ? 'one-column' : 'columns'}"><div>
<section data-live="lifeline"><h2>Lifeline</h2>${lifeline(view)}</section>
<section data-live="keys"><h2>Keys</h2>${keysTable(status, now)}</section>
<section data-live="signers"><h2>Signers</h2>${signers(status, now)}</section>
<section data-live="documents"><h2>The document on the server</h2>${documents(view.drift, now)}</section>
<section data-live="rotations"><h2>Rotations</h2>${rotationsTable(view.rotations, now)}</section>
<section data-live="entries"><h2>Audit entries</h2>${entriesTable(view.entries, now)}</section>
</div>${actions === null ? null : html`<section id="actions" class="panel side" data-live="actions"><h2>Actions</h2>${actions}</section>`}</div>`;
}

function standing(view: ClientView, now: number): SafeHtml {
  const { status } = view;
  return html`<p class="standing">${badges(status)} <span>${STATES[status.state].means}</span></p>
<p class="as-of">As of ${clock(now)}</p>
${items(view, now)}
<dl class="facts">${facts(status, now)}</dl>`;
}

/** Where only the advice says that something is to be done. */
const LOOK: Item = { tone: 'warn', icon: 'ask', what: 'This client needs a person', why: '' };

/** What is wrong or under way, the most pressing first. The first item has the advice. */
function items({ status }: ClientView, now: number): SafeHtml | null {
  const { advice = null } = status;
  const all = [...troubles(status), ...doings(status, now)];
  const [first, ...others] = all.length === 0 && advice !== null ? [LOOK] : all;
  if (first === undefined) return null;
  const todo = advice === null ? null : html`<span class="advice"><strong>What to do:</strong> ${prose(advice)}</span>`;
  return html`<ul class="needs">${item({ ...first, why: html`${first.why}${todo}` })}${others.map(item)}</ul>`;
}

function troubles(status: ClientStatus): readonly Item[] {
  const { compromised, halted, last_error: error, overdue, drift, state } = status;
  const found: (Item | null)[] = [
    compromised
      ? {
          tone: 'alarm',
          icon: 'alarm',
          what: 'Its key is compromised, and still signs in',
          why: 'The key in use was reported, and no rotation replaces it.',
        }
      : null,
    halted === null ? null : { tone: 'alarm', icon: 'stop', what: 'Halted', why: prose(halted) },
    error === null || error === halted
      ? null
      : {
          tone: state === 'failed' ? 'alarm' : 'warn',
          icon: 'cross',
          what: state === 'failed' ? 'Failed' : 'Last error',
          why: prose(error),
        },
    overdue ? { tone: 'alarm', icon: 'late', what: 'Overdue', why: 'Its key is older than must_by allows.' } : null,
    drift === null
      ? null
      : {
          tone: 'warn',
          icon: 'differs',
          what: 'Drifted',
          why: prose(`The server shows what rekeyd did not publish: ${drift.differences.join(', ')}.`),
        },
  ];
  const reported = (status.exposures ?? []).map(
    (exposure): Item => ({
      tone: 'calm',
      icon: 'alarm',
      what: 'Reported as compromised',
      why: prose(exposureLine(exposure)),
    }),
  );
  return [...found.filter((one) => one !== null), ...reported];
}

function doings({ rotation, waiting, paused, signers }: ClientStatus, now: number): readonly Item[] {
  const found: (Item | null)[] = [
    rotation === null
      ? null
      : {
          ...{ tone: 'busy', icon: 'turn' },
          what:
            rotation.offered_until === null
              ? rotation.rollback
                ? 'The previous key is being put back'
                : 'A rotation is under way'
              : 'Our key is offered to its application',
          why: html`${rotation.strategy}, step ${rotation.phase}, since ${moment(rotation.since, now)}. Asked by ${rotation.actor}: ${prose(rotation.reason)}${rotation.offered_until === null ? null : html`. It is withdrawn ${moment(rotation.offered_until, now)}`}`,
        },
    waiting === null
      ? null
      : {
          tone: 'busy',
          icon: 'clock',
          what: 'It waits',
          why: html`${prose(waiting.why)}. It is looked at again ${moment(waiting.until, now)}.`,
        },
    signers === null || signers.missing.length === 0
      ? null
      : { tone: 'warn', icon: 'key', what: 'Signers without the new key', why: signers.missing.join(', ') },
    paused === null
      ? null
      : {
          tone: 'warn',
          icon: 'pause',
          what: 'Paused by a person',
          why: html`By ${paused.actor} ${paused.until === null ? 'until somebody resumes it' : html`until ${moment(paused.until, now)}`}: ${paused.reason}`,
        },
  ];
  return found.filter((one) => one !== null);
}

function facts(status: ClientStatus, now: number): SafeHtml[] {
  const { client_id: clientId, policy, enrolment, active, next_due: nextDue, due } = status;
  const fact = (name: string, value: SafeHtml | string) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  return [
    fact('client_id', html`<code>${clientId}</code>`),
    fact(
      'Policy',
      policy === null
        ? badge('warn', 'ask', 'none: the config no longer takes care of it')
        : html`<a href="${clientsPath({ policy })}">${policy}</a>`,
    ),
    fact('Enrolment', enrolment),
    fact('Key in use since', active === null ? NONE : momentOr(active.activated_at ?? active.created_at, now)),
    fact(
      'Next due',
      html`${momentOr(nextDue, now)}${due === null ? null : html`<span class="sub">${prose(due.message)}</span>`}`,
    ),
  ];
}
