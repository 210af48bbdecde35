/** The document on the server beside ours. Differences are marked with a word. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { sameJson } from '../../../../core/json.ts';
import type { DocumentView, DriftView, KeyView } from '../../../../status/client/drift.ts';
import { icon } from '../icons.ts';
import { badge, keyName, moment, NONE, prose } from '../words.ts';

export function documents(view: DriftView, now: number): SafeHtml {
  const { ours, server } = view;
  const sides = html`<div class="beside">${side('rekeyd publishes', ours, server)}${side('The server shows', server, ours)}</div>`;
  return html`${verdict(view, ours === null || sameJson(ours, server), now)}${sides}`;
}

function verdict({ since, what, by_itself: byItself, to_do: toDo }: DriftView, isSame: boolean, now: number): SafeHtml {
  if (since === null) {
    const later = isSame ? null : ' rekeyd publishes what differs below with its next PATCH.';
    return html`<p class="about">Nothing has drifted: the server shows what rekeyd expects.${later}</p>`;
  }
  const todo = toDo === null ? null : html`<p><strong>What to do:</strong> ${prose(toDo)}</p>`;
  return html`<div class="callout warn">${icon('differs')}<div><h3>It has drifted</h3><p>First seen ${moment(since, now)}. Who did it is not known: the API does not tell.</p><ul>${what.map(({ text }) => html`<li>${prose(text)}</li>`)}</ul><p><strong>By itself:</strong> ${prose(byItself)}</p>${todo}</div></div>`;
}

/** @param other what it is compared with; null: there is nothing to compare */
function side(title: string, document: DocumentView | null, other: DocumentView | null): SafeHtml {
  if (document === null) {
    return html`<div class="side-by"><h3>${title}</h3><p class="empty">Nothing: no key of this client is ours.</p></div>`;
  }
  const { alg, jwks_uri: uri, keys } = document;
  const differs = (isDifferent: boolean) =>
    other !== null && isDifferent ? badge('warn', 'differs', 'differs') : null;
  const listed = keys.map((key, index) => html`<li class="shown-key">${keyItem(key, index, other)}</li>`);
  const none = uri === null ? 'No keys.' : 'The keys are served at jwks_uri.';
  return html`<div class="side-by"><h3>${title}</h3><dl class="data"><div><dt>alg</dt><dd>${alg ?? NONE} ${differs(alg !== other?.alg)}</dd></div><div><dt>jwks_uri</dt><dd>${uri ?? NONE} ${differs(uri !== other?.jwks_uri)}</dd></div></dl>${keys.length === 0 ? html`<p class="empty">${none}</p>` : html`<ol class="shown-keys">${listed}</ol>`}</div>`;
}

const ORIGINS = { ours: 'ours', former: 'was ours, or was reported as compromised', foreign: 'not ours' } as const;

function keyItem(key: KeyView, index: number, other: DocumentView | null): SafeHtml {
  const { kid, id, kty, alg, origin, pem } = key;
  const said = [
    kty,
    alg,
    ORIGINS[origin],
    pem === 'none' ? null : pem === 'same' ? 'with its PEM' : 'with a PEM of another key',
  ];
  return html`<span class="position">${index + 1}.</span><div>${keyName(kid ?? id)}<span class="sub">${said.filter((part) => part !== null).join(', ')}</span></div>${other === null ? null : mark(key, index, other)}`;
}

/** How the key differs from the same key in the other document. */
function mark(key: KeyView, index: number, { keys }: DocumentView): SafeHtml | null {
  if (keys.length === 0) return null;
  const at = keys.findIndex(({ id, kid }) => (key.id === null ? kid === key.kid : id === key.id));
  const twin = keys[at];
  if (twin === undefined) return badge('warn', 'differs', 'only here');
  if (twin.kid !== key.kid || twin.alg !== key.alg || twin.pem !== key.pem || twin.kty !== key.kty)
    return badge('warn', 'differs', 'differs');
  return at === index ? badge('good', 'check', 'same') : badge('warn', 'differs', `number ${at + 1} there`);
}
