/** The keys of a client, and the processes that sign with them. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { formatDuration } from '../../../../core/duration.ts';
import type { ClientStatus, KeyStatus } from '../../../../status/model.ts';
import type { Icon } from '../icons.ts';
import { type Cell, table } from '../table.ts';
import { badge, keyName, moment, momentOr, NONE, prose, type Tone } from '../words.ts';

const STATES: Readonly<Record<KeyStatus['state'], readonly [Tone, Icon]>> = {
  'pre-active': ['busy', 'clock'],
  active: ['good', 'check'],
  deactivated: ['calm', 'pause'],
  compromised: ['alarm', 'alarm'],
  destroyed: ['calm', 'cross'],
};

const PROOFS = { accepted: 'a test sign-in was accepted', read_back: 'read back from the server' } as const;

export function keysTable({ keys, retiring }: ClientStatus, now: number): SafeHtml {
  const rows = keys.map((key): Cell[] => {
    const leaving = retiring.find(({ kid }) => kid === key.kid);
    const [tone, name] = STATES[key.state];
    const proof = key.proof === null ? null : html`<span class="sub">${PROOFS[key.proof]}</span>`;
    const kept =
      leaving === undefined
        ? momentOr(key.destroyed_at, now)
        : html`${moment(leaving.until, now)}<span class="sub">${prose(leaving.error ?? leaving.phase)}</span>`;
    return [
      html`${keyName(key.kid)}<span class="sub">${key.alg ?? NONE}</span>`,
      html`${badge(tone, name, key.state)}${proof}`,
      html`${momentOr(key.activated_at, now)}${made(key, now)}`,
      kept,
    ];
  });
  const heads = ['Key', 'State', 'Active since', 'Kept until'];
  return table({ caption: 'Keys', quiet: true, heads, rows, none: 'No key of this client is ours.' });
}

function made({ created_at: at, activated_at: active }: KeyStatus, now: number): SafeHtml | null {
  if (at === null) return null;
  const before = active === null ? null : Date.parse(active) - Date.parse(at);
  return html`<span class="sub">made ${before === null ? moment(at, now) : `${formatDuration(Math.max(0, before))} before`}</span>`;
}

export function signers({ signers }: ClientStatus, now: number): SafeHtml {
  if (signers === null) return html`<p class="empty">rekeyd has not asked for reports of its signers yet.</p>`;
  const { reports, missing, error, heard_at: heardAt } = signers;
  const rows = reports.map(({ name, kids, signing, at, recent }): Cell[] => [
    html`<strong>${name}</strong>`,
    signing === null ? NONE : keyName(signing),
    kids.length === 0 ? NONE : html`<ul class="plain">${kids.map((kid) => html`<li>${keyName(kid)}</li>`)}</ul>`,
    moment(at, now),
    missing.includes(name)
      ? badge('alarm', 'key', 'new key missing')
      : recent
        ? badge('good', 'check', 'recent')
        : badge('calm', 'clock', 'too old'),
  ]);
  const unread =
    error === null ? null : html`<p class="trouble">Reports of signers cannot be read: ${prose(error)}</p>`;
  const heads = ['Signer', 'Signs with', 'Holds', 'Reported', 'State'];
  return html`${unread}${table({ caption: 'Signers', quiet: true, heads, rows, none: 'No signer reports for this client.' })}<p class="as-of">Reports were last read ${moment(heardAt, now)}.</p>`;
}
