/** What stands before each page, and around it: one table over all routes. */
import { rmSync } from 'node:fs';
import { request } from 'node:https';
import { expect, onTestFinished, test } from 'vitest';
import { PAGES } from '../../../src/http/page/pages.ts';
import { makeToken } from '../../support/api.ts';
import { makeAuthority } from '../../support/certificates.ts';
import { type Fleet, KID_APP, PEM_APP, startFleet } from '../../support/fleet.ts';
import { pageVisitor, type Seen, signedIn, wordsOf } from '../../support/page.ts';

const HTTP = { http: { listen: '127.0.0.1:0' } };
const POLICY =
  "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const POSTS = PAGES.filter(({ method }) => method === 'POST').map(({ path, scope }) => ({ path, scope }));
const ACTIONS = POSTS.filter(({ scope }) => scope === 'rotate');

/** With names that mean something, where the route asks for some. */
function placeOf(path: string, ref: string): string {
  const [deployment = '', app = '', client = ''] = ref.split('/');
  const names: Readonly<Record<string, string>> = { deployment, app, client, policy: 'pem-app', request: 'http-none' };
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => names[name] ?? '');
}

/** That each action takes, whatever else it asks for. */
function fieldsFor(ref: string) {
  const about = { scope: 'all', what: 'client', client: ref, reason: 'a <b>test</b>', step: 'confirm' };
  return { ...about, nonce: 'n'.repeat(22) };
}

/** Refusals are told on their own. */
async function changes(fleet: Fleet): Promise<readonly string[]> {
  const quiet = ['api.refused', 'session.started', 'session.ended'];
  return (await fleet.audit()).map(({ type }) => type).filter((type) => !quiet.includes(type));
}

async function start() {
  const fleet = await startFleet({ apps: [PEM_APP, KID_APP], config: HTTP });
  const client = await fleet.managed(PEM_APP);
  const { url = '' } = await fleet.start({ http: true, worker: false });
  return { fleet, client, url: url ?? '' };
}

test('there are as many actions as this file believes', () => {
  expect(ACTIONS.map(({ path }) => path).sort()).toEqual([
    '/clients/{deployment}/{app}/{client}/accept-drift',
    '/clients/{deployment}/{app}/{client}/enroll',
    '/clients/{deployment}/{app}/{client}/pause',
    '/clients/{deployment}/{app}/{client}/repair-drift',
    '/clients/{deployment}/{app}/{client}/resume',
    '/clients/{deployment}/{app}/{client}/rollback',
    '/clients/{deployment}/{app}/{client}/rotate',
    '/compromise',
    '/pause',
    '/requests/{request}/approve',
    '/resume',
    '/waves/{policy}/resume',
  ]);
});

test('no form does anything without a session, its own csrf token, its own origin, and the scope', async () => {
  const { fleet, client, url } = await start();
  const visitor = await signedIn(url, await makeToken(fleet, { name: 'acts' }));
  const other = await signedIn(url, await makeToken(fleet, { name: 'other' }));
  const reader = await signedIn(url, await makeToken(fleet, { name: 'reads', scopes: ['read'] }));
  const csrfOf = async (one: typeof visitor) =>
    /name="csrf" value="([^"]+)"/.exec((await one.get('/clients')).text)?.[1] ?? '';
  const [own, theirs, readers] = await Promise.all([visitor, other, reader].map(csrfOf));
  if (own === undefined || theirs === undefined || readers === undefined) throw new Error('no csrf token');
  expect(new Set([own, theirs, readers]).size).toBe(3);
  const before = await changes(fleet);
  const ours = { 'sec-fetch-site': 'same-origin' };

  for (const { path, scope } of POSTS) {
    if (path === '/sign-in') continue;
    const place = placeOf(path, client.ref);
    const fields = fieldsFor(client.ref);
    expect(await pageVisitor(url).post(place, { ...fields, csrf: own }), path).toMatchObject({
      status: 303,
      to: expect.stringMatching(/^\/sign-in/),
    });
    for (const csrf of ['', own.slice(1), theirs, `${own}x`]) {
      expect((await visitor.post(place, { ...fields, csrf }, ours)).status, `${path} ${csrf}`).toBe(403);
    }
    expect((await visitor.post(place, fields, ours)).status, path).toBe(403);
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ]) {
      const seen = await visitor.post(place, { ...fields, csrf: own }, headers);
      expect(seen.status, `${path} ${JSON.stringify(headers)}`).toBe(403);
      expect(wordsOf(seen.text)).toMatch(/Another site sent this form\. Nothing was done\. .*act there\. To the fleet/);
    }
    const json = await fetch(`${url}${place}`, {
      ...{ method: 'POST', redirect: 'manual', body: JSON.stringify({ ...fields, csrf: own }) },
      headers: { cookie: `rekeyd=${visitor.jar.get('rekeyd')}`, 'content-type': 'application/json', ...ours },
    });
    expect(json.status, path).toBe(415);
    if (scope !== 'rotate') continue;
    const blind = await reader.post(place, { ...fields, csrf: readers }, ours);
    expect(blind.status, path).toBe(403);
    expect(wordsOf(blind.text)).toContain('token:reads has read, and this takes the scope rotate');
  }
  expect(await changes(fleet)).toEqual(before);
  expect(await fleet.queues.requests.getJobCounts()).toMatchObject({ prioritized: 0, waiting: 0 });
  const refused = (await fleet.audit()).filter(({ type }) => type === 'api.refused');
  expect(refused.map(({ claimed_by: by, data }) => [by, data.status])).toEqual(
    expect.arrayContaining([
      [undefined, 401],
      ['token:acts', 403],
      ['token:reads', 403],
    ]),
  );
  // Nothing of what was sent is missing: the same fields, sent as they should be, do something.
  const done = await visitor.post(placeOf('/clients/{deployment}/{app}/{client}/pause', client.ref), {
    ...fieldsFor(client.ref),
    csrf: own,
  });
  expect(done).toMatchObject({ status: 303, to: `/clients/${client.ref}` });
  expect((await changes(fleet)).slice(before.length)).toEqual(['schedule.paused']);
});

test('a restricted token neither sees nor touches the clients of others', async () => {
  const { fleet, client, url } = await start();
  const other = await fleet.managed(KID_APP);
  const [app, one] = ['185019846023/pem-app', other.ref];
  const ofApp = await signedIn(url, await makeToken(fleet, { name: 'of-app', only: app }));
  const ofOne = await signedIn(url, await makeToken(fleet, { name: 'of-one', only: one }));
  const csrfOf = async (visitor: typeof ofApp) =>
    /name="csrf" value="([^"]+)"/.exec((await visitor.get('/clients')).text)?.[1] ?? '';
  const before = await changes(fleet);
  for (const { visitor, foreign } of [
    { visitor: ofApp, foreign: other.ref },
    { visitor: ofOne, foreign: client.ref },
  ]) {
    const csrf = await csrfOf(visitor);
    for (const { path } of ACTIONS) {
      const { status, text } = await visitor.post(placeOf(path, foreign), { ...fieldsFor(foreign), csrf });
      expect([403, 404], `${path}: ${wordsOf(text)}`).toContain(status);
    }
    const leaks = ['kid', 'kek', 'host', 'policy', 'all'].map((what) => ({ what, [what]: 'pem-app' }));
    for (const leak of [...leaks, { what: 'app', app: foreign.split('/').slice(0, 2).join('/') }]) {
      const { status } = await visitor.post('/compromise', { ...fieldsFor(foreign), ...leak, csrf });
      expect(status, JSON.stringify(leak)).toBe(403);
    }
    for (const scope of [{ scope: 'policy', policy: 'pem-app' }, { scope: 'all' }]) {
      expect((await visitor.post('/pause', { ...fieldsFor(foreign), ...scope, csrf })).status).toBe(403);
    }
    const hidden = await visitor.get(`/clients/${foreign}`);
    expect(hidden.status).toBe(404);
    expect(wordsOf(hidden.text)).toContain('is not known here, or you may not see it');
  }
  expect(await changes(fleet)).toEqual(before);
  const csrf = await csrfOf(ofApp);
  const own = await ofApp.post('/pause', { scope: 'app', app, reason: 'ours', csrf, nonce: 'o'.repeat(22) });
  expect(own.status).toBe(303);
  expect((await changes(fleet)).slice(before.length)).toEqual(['schedule.paused']);
});

function expectGuarded({ headers }: Pick<Seen, 'headers'>, what: string): void {
  expect(Object.fromEntries(headers), what).toMatchObject({
    'content-security-policy': POLICY,
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
    'cross-origin-opener-policy': 'same-origin',
  });
}

test('each answer keeps the browser from what no page of ours asks for; a lost page is one for people alone', async () => {
  const { fleet, client, url } = await start();
  const visitor = await signedIn(url, await makeToken(fleet));
  const pages = ['/', '/clients', `/clients/${client.ref}`, '/queues', '/compromise', '/sign-in'];
  for (const path of pages) {
    const seen = await visitor.get(path);
    expect(seen.status, path).toBe(200);
    expectGuarded(seen, path);
    expect(seen.headers.get('cache-control'), path).toBe('no-store');
    expect(seen.headers.get('content-type'), path).toBe('text/html; charset=utf-8');
    expect(seen.text, path).not.toMatch(/<[^>]* (?:style|on\w+)=|<style|<script(?! src="\/assets\/)/);
  }
  for (const path of ['/no-such-page', '/clients/1/none/2', '/requests/http-none', '/clients/a%2fb/c/d']) {
    const seen = await visitor.get(path);
    expect(seen.status, path).toBe(404);
    expectGuarded(seen, path);
  }
  expectGuarded(await pageVisitor(url).get('/'), 'a redirect');
  for (const [path, status] of [
    ['/clients/%E0%A4%A/b/c', 400],
    [`/clients/1/app/${'x'.repeat(700)}`, 414],
  ] as const) {
    const seen = await visitor.get(path);
    expect([seen.status, seen.headers.get('content-type')], path).toEqual([status, 'text/html; charset=utf-8']);
    expectGuarded(seen, path);
  }
  const longest = await visitor.get(`/clients/1/app/${'x'.repeat(128)}`);
  expect(longest.status).toBe(404);
  expect((await visitor.get(`/requests/${'%3A'.repeat(200)}`)).status).toBe(404);
  const lost = await fetch(`${url}/no-such-page`);
  expect(lost.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const api = await fetch(`${url}/v1/none`, { headers: { accept: 'text/html' } });
  expect(api.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  // A cookie is no way into the API, nor a bearer token into the page.
  const token = await makeToken(fleet, { name: 'program' });
  const cookie = `rekeyd=${visitor.jar.get('rekeyd')}`;
  expect((await fetch(`${url}/v1/clients`, { headers: { cookie } })).status).toBe(401);
  const bearer = await fetch(`${url}/clients`, { redirect: 'manual', headers: { authorization: `Bearer ${token}` } });
  expect(bearer.status).toBe(303);
});

test('an address without a page keeps a visitor signed in, and that of a form leads to the page of the form', async () => {
  const { fleet, client, url } = await start();
  const visitor = await signedIn(url, await makeToken(fleet, { name: 'ada' }));
  for (const path of ['/no-such-page', '/clients/%E0%A4%A/b/c', '/clients/1/none/2']) {
    const { text } = await visitor.get(path);
    expect(text, path).toContain('token:ada');
    expect(text, path).toContain('action="/sign-out"');
    expect((await pageVisitor(url).get(path)).text, path).not.toContain('Sign out');
  }
  const pages: Readonly<Record<string, string>> = {
    '/clients/{deployment}/{app}/{client}': `/clients/${client.ref}`,
    '/requests/{request}': '/requests/http-none',
  };
  for (const { path } of ACTIONS) {
    const above = path.slice(0, path.lastIndexOf('/'));
    const form = path === '/compromise' ? path : (pages[above] ?? '/');
    // Who sends a form after the session has ended comes to its page, too.
    const ended = await pageVisitor(url).post(placeOf(path, client.ref), fieldsFor(client.ref));
    expect(ended.to, path).toBe(form === '/' ? '/sign-in' : `/sign-in?${new URLSearchParams({ to: form })}`);
    if (path === '/compromise') continue;
    const seen = await visitor.get(placeOf(path, client.ref));
    expect([path, seen.status, seen.to]).toEqual([path, 303, form]);
    expectGuarded(seen, path);
  }
});

test('over TLS the cookie is bound to this host, and another one does not count', async () => {
  const ours = makeAuthority();
  onTestFinished(() => rmSync(ours.dir, { recursive: true, force: true }));
  const server = ours.issue('server', ['IP:127.0.0.1']);
  const tls = { cert: `file:${server.certFile}`, key: `file:${server.keyFile}` };
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen: '127.0.0.1:0', tls } } });
  const { url } = await fleet.start({ http: true, worker: false });
  const token = await makeToken(fleet);

  function ask(
    method: string,
    path: string,
    headers: object,
    body = '',
  ): Promise<{ status: number; cookies: readonly string[] }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; cookies: readonly string[] }>();
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const asked = request(
      `${url}${path}`,
      { method, ca: ours.ca, agent: false, headers: { ...type, ...headers } },
      (answer) => {
        answer
          .resume()
          .on('end', () => resolve({ status: answer.statusCode ?? 0, cookies: answer.headers['set-cookie'] ?? [] }));
      },
    );
    asked.on('error', reject).end(body);
    return promise;
  }

  const { status, cookies } = await ask('POST', '/sign-in', {}, `token=${token}`);
  expect({ status, cookies }).toEqual({
    status: 303,
    cookies: [
      expect.stringMatching(/^__Host-rekeyd=[\w-]{43}; Path=\/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure$/),
    ],
  });
  const id = /=([\w-]+);/.exec(cookies[0] ?? '')?.[1] ?? '';
  expect((await ask('GET', '/clients', { cookie: `__Host-rekeyd=${id}` })).status).toBe(200);
  // Another host of the domain may set one of this name.
  expect((await ask('GET', '/clients', { cookie: `rekeyd=${id}` })).status).toBe(303);
});

test('behind a proxy that ends TLS the cookie is the same', async () => {
  const { fleet, url } = await start();
  const visitor = pageVisitor(url);
  const token = await makeToken(fleet);
  const proxied = { 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin' };
  const { cookies } = await visitor.post('/sign-in', { token }, proxied);
  expect(cookies).toEqual([expect.stringMatching(/^__Host-rekeyd=.*; Secure$/)]);
  expect((await visitor.get('/clients', proxied)).status).toBe(200);
  expect((await visitor.get('/clients')).status).toBe(303);
});
