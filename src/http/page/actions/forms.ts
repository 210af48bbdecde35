/** The forms of the actions: only those that can be done now. They work without JavaScript. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { scopeWords } from '../../../core/pause.ts';
import type { ClientStatus, PauseStatus } from '../../../status/model.ts';
import type { ClientView, FleetView } from '../../../status/views.ts';
import type { Visitor } from '../routes.ts';
import { waveFormId } from '../views/fleet/needs.ts';
import { clientPath, prose } from '../views/words.ts';
import { acceptForm, repairForm } from './drift.ts';
import { checkField, form, hiddenFields, pauseLength, reasonField } from './fields.ts';

/** @returns null for a visitor who may not act */
export function clientForms(visitor: Visitor, view: ClientView): SafeHtml | null {
  const { status } = view;
  if (!visitor.mayAct) return null;
  if (status.policy === null)
    return html`<p>The config no longer takes care of this client. To act on it, add its app to the config.</p>`;
  const forms = [
    canRotate(status) ? rotateForm(visitor, status) : null,
    compromiseLink(status),
    canRollBack(status) ? rollbackForm(visitor, status) : null,
    canEnroll(status) ? enrollForm(visitor, status) : null,
    folded('Accept what the server shows', acceptForm(visitor, view)),
    folded('Publish our document again', repairForm(visitor, view)),
    isPausedItself(status) ? resumeForm(visitor, status) : pauseForm(visitor, status),
  ];
  return html`${forms}`;
}

/** While a rotation is under way a request would join it, and change nothing. */
function canRotate({ rotation }: ClientStatus): boolean {
  return rotation === null;
}

/** While the previous key still has its private half, and no rotation is under way. The core decides again when it is asked for. */
function canRollBack({ rotation, active, retiring, keys }: ClientStatus): boolean {
  if (rotation !== null || active === null) return false;
  const isOurs = (kid: string | null) => keys.some((key) => key.kid === kid && key.state === 'deactivated');
  return retiring.some(({ role, kid }) => role === 'replaced' && isOurs(kid));
}

/** There is a key of ours that its application could take. */
function canEnroll({ enrolment, rotation }: ClientStatus): boolean {
  return enrolment === 'held' || (enrolment === 'found' && (rotation?.offered_until ?? null) !== null);
}

function isPausedItself({ paused }: ClientStatus): boolean {
  return paused !== null && 'client' in paused;
}

function action(title: string, content: SafeHtml, { id = null, isOpen = false }: Opened = {}): SafeHtml {
  return html`<details class="action"${id === null ? null : html` id="${id}"`}${isOpen ? html` open` : null}><summary>${title}</summary>${content}</details>`;
}

function folded(title: string, content: SafeHtml | null): SafeHtml | null {
  return content === null ? null : action(title, content);
}

interface Opened {
  /** For a link to the form; null: none leads to it. */
  readonly id?: string | null;
  readonly isOpen?: boolean;
}

function rotateForm(visitor: Visitor, { client, enrolment }: ClientStatus): SafeHtml {
  const place = `${clientPath(client)}/rotate`;
  const takeOver =
    enrolment === 'enrolled'
      ? null
      : checkField({
          ...{ name: 'take_over', id: 'rotate-take-over', required: true },
          label: 'Take the client over',
          help: 'It is not enrolled. Its application must take the new key from its key folder at once, or it can no longer sign in.',
        });
  return action(
    'Rotate its key',
    html`<p>A new key is made, proven, and takes the place of the present one. You see what would happen before anything is done.</p>
${form(visitor, { action: place, verb: 'Show what would happen' }, html`${takeOver}${reasonField('rotate')}`)}`,
  );
}

function compromiseLink({ client, active }: ClientStatus): SafeHtml {
  const query = new URLSearchParams({ what: 'client', client });
  const key = active === null ? null : html`<p>The key in use is <code>${active.kid}</code>.</p>`;
  return action(
    'Report a leaked key',
    html`<p>A key that leaked is replaced at once, without an overlap, and is never used again.</p>${key}
<p><a href="/compromise?${String(query)}">Report that a key of this client leaked</a></p>`,
  );
}

function rollbackForm(visitor: Visitor, { client }: ClientStatus): SafeHtml {
  return action(
    'Put the previous key back',
    html`<p>The previous key is published and used again, and the present key is taken away. The client is also paused, so that its schedule does not undo this.</p>
${form(visitor, { action: `${clientPath(client)}/rollback`, verb: 'Put it back', danger: true }, reasonField('rollback'))}`,
  );
}

function enrollForm(visitor: Visitor, { client }: ClientStatus): SafeHtml {
  return action(
    'Enroll',
    html`<p>Do this only when its application reads its keys from its key folder. From then on schedules rotate the client.</p>
${form(visitor, { action: `${clientPath(client)}/enroll`, verb: 'Enroll it' }, reasonField('enroll'))}`,
  );
}

function pauseForm(visitor: Visitor, { client, paused }: ClientStatus): SafeHtml {
  const wider =
    paused === null
      ? null
      : html`<p>A wider pause is in force already, of ${scopeWords(paused)}: ${paused.reason}.</p>`;
  return action(
    'Pause',
    html`<p>No scheduled rotation of this client begins. A rotation under way goes on to its end. Rotations that people ask for go through.</p>${wider}
${form(visitor, { action: `${clientPath(client)}/pause`, verb: 'Pause' }, html`${pauseLength('pause')}${reasonField('pause')}`)}`,
  );
}

function resumeForm(visitor: Visitor, { client, paused }: ClientStatus): SafeHtml {
  const since = paused === null ? null : html`<p>Paused by ${paused.actor}: ${paused.reason}.</p>`;
  return action(
    'Resume',
    html`<p>Scheduled rotations of this client begin again.</p>${since}
${form(visitor, { action: `${clientPath(client)}/resume`, verb: 'Resume' }, reasonField('resume'))}`,
  );
}

/**
 * Forms that are about many clients.
 * @param open the id of the form that is open; null: none
 * @returns null for a visitor who may not act, or whose token is restricted
 */
export function fleetForms(
  visitor: Visitor,
  { pauses, waves, policies }: FleetView,
  open: string | null,
): SafeHtml | null {
  if (!visitor.mayAct || visitor.principal.only !== null) return null;
  const stopped = waves.filter(({ phase }) => phase === 'stopped');
  // A paused client has its own form on its page: there may be thousands.
  const wide = pauses.filter(isWide);
  return html`${stopped.map(({ policy, stopped: why }) => waveForm(visitor, policy, why, open))}
${wide.map((pause, index) => resumeScopeForm(visitor, pause, index))}
${pauseScopeForm(
  visitor,
  policies.map(({ policy }) => policy),
)}`;
}

function waveForm(visitor: Visitor, policy: string, why: string | null, open: string | null): SafeHtml {
  const id = waveFormId(policy);
  return action(
    `Go on with the wave of ${policy}`,
    html`<p>It stopped: ${prose(why ?? 'no reason is known')}. Mend the cause first. Then begin the rest of its clients.</p>
${form(visitor, { action: `/waves/${encodeURIComponent(policy)}/resume`, verb: 'Begin the rest' }, reasonField(id))}`,
    { id, isOpen: id === open },
  );
}

function resumeScopeForm(visitor: Visitor, pause: WidePause, index: number): SafeHtml {
  const { actor, reason } = pause;
  return action(
    `Resume ${scopeWords(pause)}`,
    html`<p>Paused by ${actor}: ${reason}.</p>
${form(visitor, { action: '/resume', verb: 'Resume' }, html`${hiddenFields(Object.entries(scopeFields(pause)))}${reasonField(`resume-${index}`)}`)}`,
  );
}

function pauseScopeForm(visitor: Visitor, policies: readonly string[]): SafeHtml {
  const radio = (value: string, label: SafeHtml | string, more: SafeHtml | null = null) =>
    html`<div class="field check"><input type="radio" name="scope" id="pause-${value}" value="${value}" required><label for="pause-${value}">${label}</label>${more}</div>`;
  const policy = html`<select name="policy" aria-label="Policy">${policies.map((name) => html`<option>${name}</option>`)}</select>`;
  const app = html`<input name="app" type="text" aria-label="App, as deployment/app-slug" placeholder="deployment/app-slug" autocomplete="off" spellcheck="false">`;
  const fields = html`<fieldset><legend>What to pause</legend>
${policies.length === 0 ? null : radio('policy', 'All clients of a policy', policy)}
${radio('app', 'All clients of an app', app)}
${radio('all', 'All clients')}</fieldset>${pauseLength('pause-many')}${reasonField('pause-many')}`;
  return action(
    'Pause scheduled rotations',
    html`<p>No scheduled rotation begins. Rotations under way go on to their end. Rotations that people ask for go through.</p>
${form(visitor, { action: '/pause', verb: 'Pause' }, fields)}`,
  );
}

/** Of a pause, as `/pause` and `/resume` read it. */
function scopeFields(pause: WidePause): Readonly<Record<string, string>> {
  if ('app' in pause) return { scope: 'app', app: pause.app };
  return 'policy' in pause ? { scope: 'policy', policy: pause.policy } : { scope: 'all' };
}

/** Of many clients. */
type WidePause = Exclude<PauseStatus, { readonly client: unknown }>;

function isWide(pause: PauseStatus): pause is WidePause {
  return !('client' in pause);
}
