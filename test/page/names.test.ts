/** A name is shown as text, also when it is markup. Each visitor is watched: a script that runs is a fault of the page. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { openForm, send } from './acting.ts';
import { signIn, startPage } from './fixture.ts';
import { HOSTILE_APPS, haveHostileWorker, makeHostile, stirHostile } from './hostile.ts';
import { ATTACK, useBrowser } from './visiting.ts';

const { visit } = useBrowser();

/** That it is shown, with a word before it that only this name has. */
async function shows(page: Page, text: string, where = 'body'): Promise<void> {
  const shown = await page.evaluate<string>(`document.querySelector('${where}').innerText`);
  expect(shown.replaceAll(/\s+/g, ' '), page.url()).toContain(`${text}${ATTACK}`);
}

test('markup in the names of clients, keys, algs, people, reasons, errors, workers and jobs does nothing', async () => {
  const { fleet, url } = await startPage({ apps: HOSTILE_APPS });
  const clients = await makeHostile(fleet);
  await stirHostile(fleet, clients);
  const { page, mayTell } = await visit(url);
  mayTell(/(400 \(Bad Request\)|404 \(Not Found\)|422)/);
  const query = new URLSearchParams({ q: ATTACK, policy: ATTACK, app: ATTACK, state: ATTACK, order: ATTACK });
  await page.goto(`/sign-in?to=${encodeURIComponent(`/clients?${query}`)}`);
  await signIn(page, fleet);
  expect(await page.getByLabel('Search').inputValue()).toBe(ATTACK);
  await shows(page, '');

  await haveHostileWorker(fleet);
  await page.goto('/');
  await shows(page, 'Worker host ');
  await shows(page, 'problem ');
  await page.goto('/clients');
  await shows(page, 'client_id oc_');
  await shows(page, 'Locked ');
  await page.goto(`/clients/${clients.named.ref}`);
  await shows(page, 'the registered alg is ');
  await shows(page, 'the foreign key ');
  await shows(page, '', '[data-live=documents]');
  await page.goto(`/clients/${clients.failed.ref}`);
  for (const word of ['who ', 'why ', 'Locked ']) await shows(page, word);
  await page.goto(`/clients/${clients.paused.ref}`);
  await shows(page, 'why ');
  await page.goto(`/clients/${clients.waiting.ref}`);
  await shows(page, 'why ');
  await page.goto('/queues');
  await shows(page, '');

  // What a visitor types comes back.
  await page.goto(`/compromise?what=kid&kid=${encodeURIComponent(ATTACK)}`);
  expect(await page.getByLabel('Name of the key (kid)', { exact: true }).inputValue()).toBe(ATTACK);
  await send(page.locator('main'), 'Show what would happen', `why ${ATTACK}`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.goto(`/clients/${clients.named.ref}`);
  await send(await openForm(page, 'Pause'), 'Pause', `typed ${ATTACK}`);
  await page.getByText('Paused: ').first().waitFor();
  await shows(page, 'typed ');
  for (const path of [`/${ATTACK}`, `/clients/${ATTACK}/x/y`, `/requests/${ATTACK}`, `/clients?after=${ATTACK}`]) {
    await page.goto(path);
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
});
