/** What each page makes of what it is given: hostile text above all. */

import { html, type SafeHtml } from '@remix-run/html-template';
import { describe, expect, it } from 'vitest';
import { parseReference } from '../../../src/core/client.ts';
import { clientForms, fleetForms } from '../../../src/http/page/actions/forms.ts';
import type { Visitor } from '../../../src/http/page/routes.ts';
import { clientPage } from '../../../src/http/page/views/client/client.ts';
import { clientsPage } from '../../../src/http/page/views/clients.ts';
import { fleetPage, fleetTitle } from '../../../src/http/page/views/fleet/fleet.ts';
import { needsOf } from '../../../src/http/page/views/fleet/needs.ts';
import { queuesPage } from '../../../src/http/page/views/fleet/queues.ts';
import { layout } from '../../../src/http/page/views/layout.ts';
import { problemPage } from '../../../src/http/page/views/problem.ts';
import { signInPage } from '../../../src/http/page/views/sign-in.ts';
import { prose } from '../../../src/http/page/views/words.ts';
import { dangersIn, elementsOf, HOSTILE, obstaclesIn } from './html.ts';
import { NOW } from './samples/common.ts';
import { HEALTHY_FLEET, TROUBLED_FLEET } from './samples/fleets.ts';
import { HEALTHY_CLIENT } from './samples/healthy-client.ts';
import { CLIENT_LIST, QUERY, QUEUES } from './samples/lists.ts';
import { TROUBLED_CLIENT } from './samples/troubled-client.ts';

const NOW_TEXT = new Date(NOW).toISOString();
const SINGLE = ['1', '2'].map((id) => parseReference(`a/b/${id}`));

const VISITOR: Visitor = {
  principal: { claimedBy: 'token:ana', key: 'k', scopes: ['read', 'rotate'], only: null, isValid: async () => true },
  session: {
    id: 's',
    token: { name: 'ana', hash: 'k', scopes: ['read', 'rotate'], only: null, createdAt: 0, expiresAt: 0, by: 'os:ana' },
  },
  csrf: 'c',
  mayAct: true,
};

interface Page {
  readonly name: string;
  readonly model: unknown;
  readonly draw: (model: unknown, visitor: Visitor) => SafeHtml;
}

function page<M>(name: string, model: M, draw: (model: M, visitor: Visitor) => SafeHtml): Page {
  return { name, model, draw: draw as Page['draw'] }; // each is drawn with a model of its own kind
}

const PAGES: readonly Page[] = [
  page('a fleet with troubles', TROUBLED_FLEET, (view, visitor) => fleetPage(view, fleetForms(visitor, view, null))),
  page('a healthy fleet', HEALTHY_FLEET, (view) => fleetPage(view, null)),
  page(
    'a list of clients',
    { list: CLIENT_LIST, query: QUERY, choices: { apps: ['a/b'], policies: ['default'] } },
    ({ list, query, choices }) => clientsPage(list, query, choices, NOW),
  ),
  page('a client with troubles', TROUBLED_CLIENT, (view, visitor) => clientPage(view, clientForms(visitor, view))),
  page('a healthy client', HEALTHY_CLIENT, (view, visitor) => clientPage(view, clientForms(visitor, view))),
  page('the queues', { view: QUEUES, requests: TROUBLED_FLEET }, ({ view, requests }) => queuesPage(view, requests)),
  page('a problem', { status: 503, title: 'Not now', detail: 'Redis is away.', errors: ['one'] }, problemPage),
  page('the sign-in', { to: '/clients', problem: 'No.' }, signInPage),
];

function drawn({ draw, model }: Page, visitor = VISITOR, notice = 'Done.'): string {
  return String(layout({ title: 'A page', body: draw(model, visitor), visitor, notice, path: '/clients' }));
}

/** The words that a view takes its pictures by, and which nobody but rekeyd writes. */
const OWN_WORDS = new Set(['state', 'what']);

/** The same with every text in it made hostile. */
function hostile<T>(value: T, key = ''): T {
  if (typeof value === 'string') return (OWN_WORDS.has(key) && /^[a-z_-]+$/.test(value) ? value : HOSTILE) as T; // texts stay texts
  if (Array.isArray(value)) return value.map((one) => hostile(one)) as T; // likewise
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, hostile(one, name)])) as T; // likewise
}

describe.each(PAGES)('$name', (one) => {
  it('has nothing that the policy for content refuses, and nothing in the way of a keyboard or a screen reader', () => {
    expect(dangersIn(drawn(one))).toEqual([]);
    expect(obstaclesIn(drawn(one))).toEqual([]);
  });

  it('shows commands as code, and no backticks', () => {
    const text = elementsOf(drawn(one)).find(({ name }) => name === 'body')?.text ?? '';
    expect(text).not.toContain('`');
  });

  it('shows hostile text as text, wherever it stands', () => {
    const text = drawn({ ...one, model: hostile(one.model) }, hostile(VISITOR), HOSTILE);
    expect(dangersIn(text)).toEqual([]);
    const shown = elementsOf(text).find(({ name }) => name === 'body')?.text ?? '';
    expect(shown).toContain(HOSTILE);
  });
});

describe('what the checks above see', () => {
  it.each([
    ['text as markup', '<p><x-attack></p>', 'there is a x-attack'],
    ['a handler', '<p onclick="x">', 'p has onclick'],
    ['a style', '<p style="x">', 'p has style'],
    ['a script', '<script>x</script>', 'there is a script'],
    ['an address of another site', '<a href="//evil.example">x</a>', 'a leads to //evil.example'],
    ['a script as an address', '<a href="javascript:x">x</a>', 'a leads to javascript:x'],
  ])('%s', (_what, text, danger) => expect(dangersIn(text)).toContain(danger));

  it.each([
    ['an input without a label', '<input name="q">', 'input q has no label'],
    ['a table without a caption', '<table></table>', 'a table has no caption'],
    ['an id twice', '<p id="a"><p id="a">', 'the id a is there twice'],
    ['no heading', '<p>', 'there are 0 h1'],
    ['a link without words', '<a href="/"></a>', 'a has no words'],
  ])('%s', (_what, text, obstacle) => expect(obstaclesIn(text)).toContain(obstacle));
});

describe('the fleet', () => {
  it('says when nothing needs a person', () => {
    expect(needsOf(HEALTHY_FLEET)).toEqual([]);
    expect(fleetTitle(HEALTHY_FLEET)).toBe('Fleet');
    expect(String(fleetPage(HEALTHY_FLEET, null))).toContain('Nothing needs you.');
  });

  it('puts first what cannot wait, and each thing with a list says where', () => {
    const needs = needsOf(TROUBLED_FLEET);
    const tones = needs.map(({ tone }) => tone);
    expect(tones).toEqual([...tones].sort((a, b) => (a === b ? 0 : a === 'alarm' ? -1 : 1)));
    expect(needs.map(({ what, go }) => [what, go?.to ?? null])).toEqual([
      ['1 client signs in with a compromised key', '/clients?condition=compromised'],
      ['1 client is halted', '/clients?state=halted'],
      ['4 clients failed', '/clients?state=failed'],
      ['2 clients are overdue', '/clients?state=overdue'],
      ['The wave of policy default has stopped', '/?open=wave-default#wave-default'],
      ['Deployment 185019846999 is paused', null],
      ['Worker rekeyd-3, process 4211, is not ready', null],
      ['3 clients have drifted', '/clients?condition=drifted'],
      ['1 client waits for a signer', '/clients?condition=signers'],
      ['Request q3mF9sKx2aQw1 waits', '/queues'],
      ['Worker rekeyd-2, process 1, has a clock that is 1 min 14 s ahead', null],
      ['Audit export s3 fails', null],
      ['Webhook pager needs a look', null],
    ]);
    expect(fleetTitle(TROUBLED_FLEET)).toBe('(13) Fleet');
  });

  it('leads those who may act to the form that resumes a wave, and opens it', () => {
    const id = 'wave-default';
    const to = `/?open=${id}#${id}`;
    expect(String(fleetPage(TROUBLED_FLEET, html`forms`))).toContain(to);
    expect(String(fleetPage(TROUBLED_FLEET, null))).not.toContain(to);
    const opened = (open: string | null) =>
      elementsOf(String(fleetForms(VISITOR, TROUBLED_FLEET, open))).flatMap(({ attributes }) =>
        'open' in attributes ? [attributes.id] : [],
      );
    expect([opened(id), opened(null)]).toEqual([[id], []]);
  });

  it('with no worker needs somebody who starts one', () => {
    const view = { ...HEALTHY_FLEET, workers: [] };
    expect(needsOf(view).map(({ what }) => what)).toEqual(['No worker is connected']);
    const text = String(fleetPage(view, null));
    expect(text).toContain('No worker is connected: <code>rekeyd start</code>.');
    expect(text).not.toContain('`');
  });

  it('says of one client what is right for one, and of many what is right for many', () => {
    const words = (count: number) => {
      const counts = { ...HEALTHY_FLEET.counts, halted: count, failed: count, overdue: count };
      const view = { ...HEALTHY_FLEET, counts, compromised: count, drifted: count, signers_missing: count };
      return needsOf(view).map(({ what, why }) => `${what}. ${why}`);
    };
    for (const text of words(1)) expect(text).not.toMatch(/\b(they|them|their|clients)\b/i);
    for (const text of words(2)) expect(text).toMatch(/^2 clients (sign|are|failed|have|wait)\b/);
  });

  it('names a few requests that wait, and counts the others', () => {
    const request = { request: 'q', reason: 'a drill', why: 'Redis is away.' };
    const waiting = (count: number, more = 0) => {
      const requests = Array.from({ length: count }, () => request);
      return needsOf({ ...HEALTHY_FLEET, requests, requests_more: more }).map(({ what }) => what);
    };
    expect(waiting(5)).toEqual(Array(5).fill('Request q waits'));
    expect(waiting(6).slice(5)).toEqual(['1 more request waits']);
    expect(waiting(100, 4_900).slice(5)).toEqual(['4,995 more requests wait']);
  });

  it('offers to resume wide pauses, and leaves those of single clients to their pages', () => {
    const pause = { actor: 'token:ana', reason: 'maintenance', since: NOW_TEXT, until: null };
    const pauses = [{ ...pause, app: 'a/b' }, ...SINGLE.map((client) => ({ ...pause, client }))];
    const forms = elementsOf(String(fleetForms(VISITOR, { ...HEALTHY_FLEET, pauses }, null)));
    expect(forms.filter(({ name, attributes }) => name === 'form' && attributes.action === '/resume')).toHaveLength(1);
  });
});

it('a list tells how far the fleet is read only to those who may see all of it', () => {
  const shown = (only: string | null) =>
    String(clientsPage(CLIENT_LIST, { ...QUERY, only }, { apps: [], policies: [] }, NOW));
  expect(shown(null)).toContain('is still reading the fleet: 40 of 128 clients.');
  expect(shown('a/b')).toContain('is still reading the fleet. Until then');
});

describe('what a visitor is offered', () => {
  const links = (visitor: Visitor) =>
    elementsOf(String(layout({ title: '', body: html``, visitor, notice: null }))).flatMap(({ name, attributes }) =>
      name === 'a' ? (attributes.href ?? []) : [],
    );

  it('is what the token may do', () => {
    expect(links(VISITOR)).toEqual(['#main', '/', '/', '/clients', '/compromise', '/queues']);
    expect(links({ ...VISITOR, mayAct: false })).not.toContain('/compromise');
    const restricted = { ...VISITOR, principal: { ...VISITOR.principal, only: 'd/app' } };
    expect(links(restricted)).toEqual(['#main', '/', '/clients', '/compromise']);
  });
});

it('commands and times within text are written as everywhere', () => {
  const text = String(prose('since 2026-11-27T03:12:04.123Z: `rekeyd rotate a/b/c` <b>'));
  expect(text).toBe(
    'since <time datetime="2026-11-27T03:12:04.123Z">2026-11-27 03:12:04 UTC</time>: <code>rekeyd rotate a/b/c</code> &lt;b&gt;',
  );
});
