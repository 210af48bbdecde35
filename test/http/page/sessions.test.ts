/** Sessions of the page: how they begin, how they end, and who cannot have one. */
import { hash } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MOST_SESSIONS, openSessionBook } from '../../../src/http/page/session/session.ts';
import { keksOf } from '../../../src/rotation/policy.ts';
import { connectRedis } from '../../../src/store/redis/connection.ts';
import { bookOf, makeToken } from '../../support/api.ts';
import { type Fleet, movedStoreClock, PEM_APP, startFleet } from '../../support/fleet.ts';
import { pageVisitor, signedIn, wordsOf } from '../../support/page.ts';
import { until } from '../../support/until.ts';

const HTTP = { http: { listen: '127.0.0.1:0' } };
const DENIED = { status: 303, to: '/sign-in?to=%2Fclients' };

async function start() {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const service = await fleet.start({ http: true });
  const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  return { fleet, service, operator, url: service.url ?? '' };
}

const cause = { actor: 'test', reason: 'it ends' };
const hashOf = (text: string) => hash('sha256', text, 'base64url');
const idOf = (visitor: { readonly jar: ReadonlyMap<string, string> }) => visitor.jar.get('rekeyd') ?? '';
const sessionEntries = async (fleet: Fleet) =>
  (await fleet.audit()).filter(({ type }) => type.startsWith('session.') || type === 'api.refused');

describe('a session', () => {
  test('begins with a token that may read, anew each time, and is gone everywhere after signing out', async () => {
    const { fleet, operator, url } = await start();
    const token = await makeToken(fleet, { name: 'ada' });
    const visitor = pageVisitor(url);
    expect(await visitor.get('/clients?state=failed')).toMatchObject({
      status: 303,
      to: '/sign-in?to=%2Fclients%3Fstate%3Dfailed',
    });
    const form = await visitor.get('/sign-in?to=%2Fclients%3Fstate%3Dfailed');
    expect(form.text).toContain('name="to" value="/clients?state=failed"');
    const entered = await visitor.post('/sign-in', { token, to: '/clients?state=failed' });
    expect(entered).toMatchObject({ status: 303, to: '/clients?state=failed' });
    const [cookie = ''] = entered.cookies;
    expect(cookie).toMatch(/^rekeyd=[A-Za-z0-9_-]{43}; Path=\/; Max-Age=28800; HttpOnly; SameSite=Lax$/);
    expect((await visitor.get('/clients')).status).toBe(200);

    // Neither its id nor the token stands in Redis, and Redis forgets it by itself.
    const id = idOf(visitor);
    const { keys } = fleet.resources.store;
    expect(await operator.pttl(keys.session(hashOf(id)))).toBeGreaterThan(7.9 * 3_600_000);
    for (const key of await operator.keys('*')) {
      expect(key).not.toContain(id);
      if ((await operator.type(key)) === 'string') expect(await operator.get(key)).not.toContain(id);
    }

    // Somebody who gave a visitor an id of their own choice would know the session.
    const again = pageVisitor(url);
    again.jar.set('rekeyd', id);
    await again.post('/sign-in', { token });
    expect(idOf(again)).not.toBe(id);
    expect((await visitor.get('/clients')).status).toBe(200);

    const copy = pageVisitor(url);
    copy.jar.set('rekeyd', id);
    const left = await visitor.send('/clients', '/sign-out', {});
    expect(left).toMatchObject({ status: 303, to: '/sign-in?out=1' });
    expect(visitor.jar.has('rekeyd')).toBe(false);
    expect(wordsOf((await visitor.follow(left)).text)).toContain('You are signed out.');
    expect(await copy.get('/clients')).toMatchObject(DENIED);
    expect((await again.get('/clients')).status).toBe(200);
    const who = { actor: 'token:ada', claimed_by: 'token:ada', data: { name: 'ada', address: '127.0.0.1' } };
    expect(await sessionEntries(fleet)).toMatchObject([
      { type: 'session.started', ...who },
      { type: 'session.started', ...who },
      { type: 'session.ended', ...who },
    ]);
  });

  test('does not begin with anything else, nor from another site; who is refused stands in the audit log', async () => {
    const { fleet, url } = await start();
    const acts = await makeToken(fleet, { name: 'acts', scopes: ['rotate'] });
    const reads = await makeToken(fleet, { name: 'reads', scopes: ['read'] });
    const visitor = pageVisitor(url);
    const wrong = await visitor.post('/sign-in', { token: `rekeyd_${'x'.repeat(43)}`, to: '/clients' });
    expect(wrong.status).toBe(401);
    expect(wordsOf(wrong.text)).toContain('This token is not accepted');
    // It is given again where it was given.
    expect(wrong.text).toContain('name="to" value="/clients"');
    const script = await visitor.post('/sign-in', { token: '<script>alert(1)</script>', to: '/"><script>' });
    expect(script).toMatchObject({ status: 401, text: expect.not.stringMatching(/<script>|alert\(/) });
    const blind = await visitor.post('/sign-in', { token: acts });
    expect(blind.status).toBe(403);
    expect(wordsOf(blind.text)).toContain('The token acts has rotate, and the page takes the scope read');

    // Somebody else's page signs a visitor in as somebody whose audit entries it wants.
    const host = new URL(url).host;
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ]) {
      expect(await visitor.post('/sign-in', { token: reads }, headers)).toMatchObject({ status: 403, cookies: [] });
    }
    expect(visitor.jar.size).toBe(0);
    expect((await visitor.post('/sign-in', { token: reads }, { origin: `http://${host}` })).status).toBe(303);
    for (const to of [
      '//evil.example',
      '/\\evil.example',
      'https://evil.example/',
      'javascript:alert(1)',
      '/%0d%0ax: y',
    ]) {
      const { to: sent, status } = await visitor.post('/sign-in', { token: reads, to });
      expect({ status, sent: new URL(sent ?? '', url).origin }, to).toEqual({ status: 303, sent: new URL(url).origin });
    }
    const refused = (await sessionEntries(fleet)).filter(({ type }) => type === 'api.refused');
    expect(refused).toMatchObject([
      { actor: '127.0.0.1', data: { status: 401, method: 'POST', path: '/sign-in' } },
      { data: { status: 403, path: '/sign-in' } },
    ]);
  });

  test('is over when its token is: revoked, expired, or of a list that somebody put back', async () => {
    const { fleet, service, operator, url } = await start();
    const { store } = fleet.resources;
    const moveTo = movedStoreClock(service);
    const book = bookOf(fleet);
    const old = await signedIn(url, await makeToken(fleet, { name: 'old' }));
    const before = await operator.get(store.keys.tokens);
    const brief = await signedIn(url, await makeToken(fleet, { name: 'brief', lifeMs: 60_000 }));
    const stays = await signedIn(url, await makeToken(fleet, { name: 'stays' }));
    expect((await brief.get('/clients')).status).toBe(200);
    moveTo(61_000);
    await until('the brief one is over', async (saw) => saw(await brief.get('/clients')).status === 303);
    await book.revoke('old', cause);
    await until('the revoked one is over', async (saw) => saw(await old.get('/clients')).status === 303);
    expect((await stays.get('/clients')).status).toBe(200);
    // The next token of that name is another one.
    await makeToken(fleet, { name: 'old' });
    expect(await old.get('/clients')).toMatchObject(DENIED);
    await operator.set(store.keys.tokens, before ?? '');
    const isOut = async ({ get }: typeof stays) => {
      const { status, text } = await get('/clients');
      return status === 503 && wordsOf(text).includes('cannot be trusted');
    };
    await until('no list can be trusted', () => isOut(stays));
    expect(await isOut(old)).toBe(true);
  });

  test('cannot be made, copied or moved by somebody who can write to Redis', async () => {
    const { fleet, operator, url } = await start();
    const { store } = fleet.resources;
    const mine = await signedIn(url, await makeToken(fleet, { name: 'mine', scopes: ['read'] }));
    const admin = await signedIn(url, await makeToken(fleet, { name: 'admin' }));
    const place = (visitor: typeof mine) => store.keys.session(hashOf(idOf(visitor)));
    const mineSigned = String(await operator.get(place(mine)));
    const adminSigned = String(await operator.get(place(admin)));
    const isOut = async (visitor: typeof mine) => expect(await visitor.get('/clients')).toMatchObject(DENIED);

    // The document of somebody else under the hash of an own id.
    await operator.set(place(mine), adminSigned);
    await isOut(mine);
    // An own document with another token in it, and one that says nothing of a signature.
    const [header = '', payload = '', signature = ''] = mineSigned.split('.');
    const [, adminPayload = ''] = adminSigned.split('.');
    const moved = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()) };
    moved.token = JSON.parse(Buffer.from(adminPayload, 'base64url').toString()).token;
    const encoded = Buffer.from(JSON.stringify(moved)).toString('base64url');
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'kek-1' })).toString('base64url');
    for (const forged of [`${header}.${encoded}.${signature}`, `${none}.${encoded}.`, encoded, 'x', '']) {
      await operator.set(place(mine), forged);
      await isOut(mine);
    }
    expect(fleet.lines.join('')).toContain('a session of the page in Redis has a wrong signature');
    // A list of tokens, or a claim, that is signed with the same KEK is no session.
    await operator.set(place(mine), String(await operator.get(store.keys.tokens)));
    await isOut(mine);
    // One that is over, and that somebody keeps.
    await operator.set(place(mine), mineSigned);
    expect((await mine.get('/clients')).status).toBe(200);
    const now = await store.now();
    const late = { ...store, now: async () => now - 8 * 3_600_000 - 1_000 };
    const parts = { keks: keksOf(fleet.config), log: fleet.resources.log };
    const [token] = await bookOf(fleet).list();
    if (token === undefined) throw new Error('there is a token');
    const past = openSessionBook(() => ({ ...parts, store: late, tokens: bookOf(fleet) }));
    const over = await past.begin(token, '127.0.0.1');
    const kept = pageVisitor(url);
    kept.jar.set('rekeyd', over.id);
    expect(await operator.exists(store.keys.session(hashOf(over.id)))).toBe(1);
    await isOut(kept);
    expect((await admin.get('/clients')).status).toBe(200);
  });

  test('is one of at most so many of its token: the oldest ends for the next one', async () => {
    const { fleet, operator, url } = await start();
    const token = await makeToken(fleet, { name: 'many' });
    const visitors = [];
    for (let made = 0; made < MOST_SESSIONS + 2; made += 1) visitors.push(await signedIn(url, token));
    const outcomes = await Promise.all(visitors.map(async (visitor) => (await visitor.get('/clients')).status));
    expect(outcomes).toEqual([303, 303, ...Array.from({ length: MOST_SESSIONS }, () => 200)]);
    expect(await operator.keys('*:session:*')).toHaveLength(MOST_SESSIONS);
    // Each sign-in is written to the disk: one token cannot have as many as it likes.
    const statuses: number[] = [];
    for (let made = 0; made < 200 && !statuses.includes(429); made += 1) {
      statuses.push((await pageVisitor(url).post('/sign-in', { token })).status);
    }
    expect(statuses).toContain(429);
    // Behind a proxy all visitors have one address: the others are not kept out.
    const other = await makeToken(fleet, { name: 'other' });
    expect((await pageVisitor(url).post('/sign-in', { token: other })).status).toBe(303);
  });
});

describe('without Redis', () => {
  test('a page says so, in a few seconds, and what needs no session is there', async () => {
    const { fleet, url } = await start();
    const visitor = await signedIn(url, await makeToken(fleet));
    fleet.redis.pause();
    onTestFinished(() => fleet.redis.resume());
    const since = performance.now();
    const refused = pageVisitor(url).post('/sign-in', { token: `rekeyd_${'x'.repeat(43)}` });
    const gone = await visitor.get('/clients');
    expect(performance.now() - since).toBeLessThan(9_000);
    expect(gone.status).toBe(503);
    expect(wordsOf(gone.text)).toMatch(/rekeyd cannot answer now The store cannot be worked with now/);
    expect((await visitor.get('/sign-in')).status).toBe(200);
    const form = await visitor.post('/pause', { scope: 'all' });
    expect(form.status).toBe(503);
    for (const { text } of [form, await refused]) {
      expect(wordsOf(text)).toContain('Nothing was done. Go back, and send the form again in a moment.');
    }
    expect(wordsOf(gone.text)).not.toContain('Nothing was done');
  });
});
