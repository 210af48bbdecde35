/** Without a mouse: by Tab and Enter from the sign-in to a rotation, and one sees at every step where one is. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { makeToken } from '../support/api.ts';
import { KID_APP } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { isStillTheSame, mark, openForm } from './acting.ts';
import { fail, pause, startPage } from './fixture.ts';
import { type Focused, focused } from './looking.ts';
import { PHONE, useBrowser } from './visiting.ts';

const { visit } = useBrowser();

/** More stops than any page has before what is looked for. */
const MOST_STOPS = 80;

/** Goes on until something with these words has the focus. Every stop on the way is seen. */
async function tabTo(page: Page, what: RegExp): Promise<Focused> {
  const stops: string[] = [];
  for (let stop = 0; stop < MOST_STOPS; stop += 1) {
    await page.keyboard.press('Tab');
    const at = await focused(page);
    expect(at, `a stop on ${page.url()}`).toMatchObject({ isShown: true });
    if (what.test(at.name)) return at;
    stops.push(at.name);
  }
  throw new Error(`${what} was not reached: ${stops.join(' | ')}`);
}

test('a client that failed is found and rotated by keys alone', async () => {
  const { fleet, url } = await startPage({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  await fail(fleet, client);
  fleet.emulator.faults.clear();
  const { page } = await visit(url);
  await page.goto('/');
  await tabTo(page, /^input Token/);
  await page.keyboard.type(await makeToken(fleet));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'One thing needs you' }).waitFor();
  await tabTo(page, /^a Skip to the content/);
  await page.keyboard.press('Enter');
  await tabTo(page, /^a Show it.*1 client failed/);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Clients' }).waitFor();
  await tabTo(page, new RegExp(`^a .*${client.id}`));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: client.ref }).waitFor();
  await tabTo(page, /^summary Rotate its key/);
  await page.keyboard.press('Enter');
  await tabTo(page, /^input Reason/);
  await page.keyboard.type('by keys alone');
  await tabTo(page, /^button Show what would happen/);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Rotate this key?' }).waitFor();
  await tabTo(page, /^button Rotate now/);
  await page.keyboard.press('Enter');
  await page.getByText('The request is taken.').waitFor();
  await until('it is rotated', async () => {
    const [latest] = await fleet.resources.store.history(client.ref);
    return latest?.state === 'finished' && latest.reason === 'by keys alone';
  });
});

test('what has the focus keeps it when news comes, and so does what was typed', async () => {
  const { fleet, url } = await startPage({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const { page } = await visit(url, { size: PHONE });
  await page.goto('/clients');
  await page.getByLabel('Token').fill(await makeToken(fleet));
  await page.keyboard.press('Enter');
  await page.locator('#live').getByText('live').waitFor();
  const { name } = await tabTo(page, new RegExp(`^a .*${client.id}`));
  await pause(fleet, client, 'news');
  await page.locator('tbody').getByText('news').waitFor();
  expect(await focused(page)).toEqual({ name, isShown: true });

  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: client.ref }).waitFor();
  const form = await openForm(page, 'Rotate its key');
  await form.getByLabel('Reason').fill('half a');
  await page.locator('#live').getByText('live').waitFor();
  await pause(fleet, client, 'more news');
  await page.getByText('more news').first().waitFor();
  await page.keyboard.type(' sentence');
  expect(await form.getByLabel('Reason').inputValue()).toBe('half a sentence');
});

test('what can be done is up to date, too, except for a form that somebody fills in', async () => {
  const app = { ...KID_APP, policy: { overlap: '1h' } };
  const { fleet, url } = await startPage({ apps: [app] });
  const client = await fleet.managed(app);
  const { page } = await visit(url);
  await page.goto('/sign-in');
  // As somebody does who follows a link while the sign-in is open.
  await page.goto(`/sign-in#token=${await makeToken(fleet)}`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.goto(`/clients/${client.ref}`);
  await page.locator('#live').getByText('live').waitFor();
  await mark(page);
  const back = page.locator('summary', { hasText: 'Put the previous key back' });
  expect(await back.count()).toBe(0);
  await fleet.reached(client, await fleet.rotate(client), 'active');
  await back.waitFor();
  const form = await openForm(page, 'Pause');
  await pause(fleet, client, 'by somebody else');
  await page.getByText('by somebody else').first().waitFor();
  expect(await form.getByRole('button', { name: 'Pause' }).isVisible()).toBe(true);
  await form.locator('summary').click();
  await pause(fleet, client, 'and once more');
  await page.locator('summary', { hasText: 'Resume' }).waitFor();
  expect(await isStillTheSame(page)).toBe(true);
});
