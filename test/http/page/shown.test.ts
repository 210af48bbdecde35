/** The pages that show something, over a real service: who sees what, what a request may ask for, and what keeps a page up to date. */
import { expect, test } from 'vitest';
import packageFile from '../../../package.json' with { type: 'json' };
import { makeToken } from '../../support/api.ts';
import { PEM_APP, startFleet } from '../../support/fleet.ts';
import { signedIn, wordsOf } from '../../support/page.ts';
import { until } from '../../support/until.ts';
import { dangersIn, elementsOf, obstaclesIn } from './html.ts';

const HTTP = { http: { listen: '127.0.0.1:0' } };

async function start() {
  const fleet = await startFleet({ apps: [PEM_APP], config: HTTP });
  const [one, other] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const { url } = await fleet.start({ http: true });
  const enter = async (name: string, only: string | null = null) =>
    signedIn(url ?? '', await makeToken(fleet, { name, only }));
  return { fleet, url: url ?? '', one, other, enter, ada: await enter('ada') };
}

test('a person sees the fleet, finds a client, and reads what is known of it', async () => {
  const { ada, one, other } = await start();
  for (const path of ['/', '/clients', `/clients/${one.ref}`, '/queues', '/compromise']) {
    const { status, text } = await ada.get(path);
    expect([path, status, dangersIn(text), obstaclesIn(text)]).toEqual([path, 200, [], []]);
  }
  expect(wordsOf((await ada.get('/')).text)).toContain('2 clients by state');
  const found = await ada.get(`/clients?q=${one.id}&state=&policy=&order=name`);
  expect(found.text).toContain(`href="/clients/${one.ref}"`);
  expect(found.text).not.toContain(`href="/clients/${other.ref}"`);
  const shown = wordsOf((await ada.get(`/clients/${one.ref}`)).text);
  for (const word of [one.clientId, 'Lifeline', 'Signers', 'rekeyd publishes', 'Audit entries'])
    expect(shown).toContain(word);
});

test('what a list cannot be asked for is left out, and a page of another list is refused', async () => {
  const { ada } = await start();
  const odd = await ada.get('/clients?state=nice&app=..%2F..&order=size&condition=nice&q=%00&limit=1e9&x=y');
  expect([
    odd.status,
    elementsOf(odd.text)
      .filter(({ name, attributes }) => name === 'option' && 'selected' in attributes)
      .map(({ text }) => text),
  ]).toEqual([200, ['any', 'any', 'any', 'any', 'most urgent first']]);
  const stale = await ada.get('/clients?after=not-a-cursor');
  expect([stale.status, wordsOf(stale.text)]).toEqual([400, expect.stringContaining('Begin with the first page')]);
  for (const path of ['/clients/a/b/c', '/clients/%3Cb%3E/b/c', '/clients/a/b']) {
    const lost = await ada.get(path);
    expect([path, lost.status, dangersIn(lost.text), obstaclesIn(lost.text)]).toEqual([path, 404, [], []]);
  }
});

test('a token that is for one client shows that one alone', async () => {
  const { enter, one, other } = await start();
  const bob = await enter('bob', one.ref);
  expect(await bob.get('/')).toMatchObject({ status: 303, to: '/clients' });
  const { text } = await bob.get('/clients');
  expect(text).toContain(`href="/clients/${one.ref}"`);
  expect(text).not.toContain(other.id);
  expect((await bob.get(`/clients/${one.ref}`)).status).toBe(200);
  for (const [path, status] of [
    [`/clients/${other.ref}`, 404],
    ['/queues', 403],
    [`/live?client=${other.ref}`, 404],
  ] as const) {
    expect([path, (await bob.get(path)).status]).toEqual([path, status]);
  }
});

test('a stream about a client that is not known is refused, and no page waits for news of it', async () => {
  const { ada, one } = await start();
  for (const asked of [`${one.ref}0`, '185019846023/none/1', 'no reference', '']) {
    const { status, text } = await ada.get(`/live?client=${encodeURIComponent(asked)}`);
    expect([asked, status, wordsOf(text)]).toEqual([asked, 404, expect.stringContaining('is not known here')]);
  }
});

test('style sheet and script are kept by browsers for as long as their content is the same', async () => {
  const { ada, url } = await start();
  const { text } = await ada.get('/');
  const addresses = [...text.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, address = '']) => address);
  expect(addresses.map((address) => address.replace(/v=.*/, ''))).toEqual(['/assets/page.css?', '/assets/page.js?']);
  // Also before somebody has signed in.
  const answers = await Promise.all([...addresses, '/assets/page.css'].map((address) => fetch(`${url}${address}`)));
  expect(
    answers.map(({ status, headers }) => [status, headers.get('content-type'), headers.get('cache-control')]),
  ).toEqual([
    [200, 'text/css; charset=utf-8', 'public, max-age=31536000, immutable'],
    [200, 'text/javascript; charset=utf-8', 'public, max-age=31536000, immutable'],
    [200, 'text/css; charset=utf-8', 'no-cache'],
  ]);
  expect((await fetch(`${url}/assets/..%2Flive.ts`)).status).toBe(404);
  // The compiler leaves out what is no TypeScript.
  expect(packageFile.scripts.build).toContain('cp -R src/http/page/assets dist/src/http/page/');
});

test('an open page hears that something changed, and only who has signed in does', async () => {
  const { fleet, url, one, ada } = await start();
  const cookie = [...ada.jar].map(([name, value]) => `${name}=${value}`).join('; ');
  const gone = new AbortController();
  const answer = await fetch(`${url}/live?client=${encodeURIComponent(one.ref)}`, {
    headers: { cookie },
    signal: gone.signal,
  });
  expect(answer.headers.get('content-type')).toBe('text/event-stream');
  let heard = '';
  const reading = (async () => {
    for await (const chunk of answer.body ?? []) heard += Buffer.from(chunk).toString();
  })().catch(() => 'it was closed');
  await until('it is greeted', () => heard.includes('event: hello\n'));
  await fleet.request({ select: { clients: [one.ref] }, reason: 'a test' });
  await until('it hears', () => heard.includes(`event: changed\ndata: {"clients":["${one.ref}"]}\n\n`));
  const { text } = await ada.get('/');
  const csrf = /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? '';
  expect((await ada.post('/sign-out', { csrf })).status).toBe(303);
  gone.abort();
  await reading;
  const after = await fetch(`${url}/live`, { headers: { cookie }, redirect: 'manual' });
  expect([after.status, after.headers.get('location')]).toEqual([303, '/sign-in?to=%2Flive']);
});
