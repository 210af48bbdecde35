/** What happens while a page is open: its session ends, Redis goes and comes back, its client vanishes, a proxy holds news back. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { bookOf } from '../support/api.ts';
import { KID_APP, PEM_APP } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { isStillTheSame, mark, openForm, send } from './acting.ts';
import { startBufferingProxy } from './buffering.ts';
import { pause, signIn, startPage } from './fixture.ts';
import { useBrowser } from './visiting.ts';

const { visit } = useBrowser();

const CAUSE = { actor: 'test', reason: 'a test' };

/** What the page says of itself at its top. */
const ofItself = (page: Page) => page.locator('#live');

test('a token that is revoked ends its session: the page says so, leads to the sign-in, and does nothing more', async () => {
  const { fleet, url } = await startPage({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const { page } = await visit(url);
  await signIn(page, fleet);
  await page.goto(`/clients/${client.ref}`);
  await ofItself(page).getByText('live').waitFor();
  const form = await openForm(page, 'Pause');
  await form.getByLabel('Reason').fill('too late');
  await bookOf(fleet).revoke('ana', CAUSE);
  await until(
    'the token is refused',
    async () => (await page.request.get('/queues', { maxRedirects: 0 })).status() === 303,
  );
  await pause(fleet, client, 'somebody else');
  await ofItself(page).getByText('the session has ended').waitFor();
  await form.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  expect(new URL(page.url()).searchParams.get('to')).toBe(`/clients/${client.ref}`);
  expect((await fleet.audit()).filter(({ reason }) => reason === 'too late')).toEqual([]);
});

test('while Redis is away the page says since when it is old, a form says that it did nothing; then it goes on', async () => {
  const { fleet, url } = await startPage({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { page, mayTell } = await visit(url);
  mayTell(/(500|503) \(|ERR_INCOMPLETE_CHUNKED_ENCODING/);
  await signIn(page, fleet);
  await page.goto(`/clients/${client.ref}`);
  await mark(page);
  const other = await page.context().newPage();
  await other.goto(`/clients/${client.ref}`);
  const form = await openForm(other, 'Rotate its key');
  await ofItself(page).getByText('live').waitFor();
  await fleet.redis.kill();
  await send(form, 'Show what would happen', 'a drill');
  await other.getByRole('heading', { name: 'rekeyd cannot answer now' }).waitFor();
  await other.getByText('Nothing was done.').waitFor();
  await other.close();
  await ofItself(page).getByText('no answer since').waitFor();
  expect(await page.getByRole('heading', { level: 1 }).textContent(), 'what was known').toContain(client.id);
  await fleet.redis.restart();
  await pause(fleet, client, 'it is back');
  await page.getByText('it is back').first().waitFor();
  await ofItself(page).getByText('live').waitFor();
  expect(await isStillTheSame(page)).toBe(true);
});

test('a client that vanishes while its page is open is shown as drifted, and one that is gone says so', async () => {
  const { fleet, url } = await startPage({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const { page, mayTell } = await visit(url);
  mayTell(/(404|422) \(/);
  await signIn(page, fleet);
  await page.goto(`/clients/${client.ref}`);
  await mark(page);
  const [deployment] = fleet.resources.deployments.values();
  await deployment?.wacht.deactivateClient(client.ref);
  await page.getByText('Drifted').first().waitFor();
  expect(await isStillTheSame(page)).toBe(true);
  await page.goto(`/clients/${client.ref}9`);
  await page.getByRole('heading', { name: 'Not found' }).waitFor();
});

test('behind a proxy that buffers, the page asks by itself', async () => {
  const { fleet, url } = await startPage({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const proxy = await startBufferingProxy(url);
  const { page } = await visit(proxy.url);
  await signIn(page, fleet);
  await page.goto(`/clients/${client.ref}`);
  await mark(page);
  await until('the proxy waits for the end of the stream', (saw) =>
    [...saw(proxy.waiting)].some((path) => path.startsWith('/live')),
  );
  await pause(fleet, client, 'seen through the proxy');
  await page.getByText('seen through the proxy').first().waitFor();
  await ofItself(page).getByText('every 5 s').waitFor();
  expect(await isStillTheSame(page)).toBe(true);
});
