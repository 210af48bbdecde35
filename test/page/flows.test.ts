/** What people come to the page for, with scripts and without: without, a reload shows what has happened. */
import type { Locator, Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { KID_APP, PEM_APP } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { isStillTheSame, mark, openForm, send } from './acting.ts';
import { fail, signIn, startPage, WHY } from './fixture.ts';
import { useBrowser } from './visiting.ts';

const { visit } = useBrowser();

describe.each([{ scripts: true }, { scripts: false }])('with scripts $scripts', ({ scripts }) => {
  /** Waits until the page shows it: by itself, or by a reload. */
  async function shows(page: Page, what: Locator): Promise<void> {
    const place = what.first();
    if (scripts) return place.waitFor();
    await until(`the page shows ${what}`, async () => {
      await page.reload();
      return place.isVisible();
    });
  }

  test('a client that failed is found, understood, rotated, and seen to be well again', async () => {
    const { fleet, url } = await startPage({ apps: [KID_APP] });
    const clients = [await fleet.managed(KID_APP), await fleet.managed(KID_APP), await fleet.managed(KID_APP)];
    const [, client] = clients;
    if (client === undefined) throw new Error('no client');
    await fail(fleet, client);
    const { page, mayTell } = await visit(url, { scripts });
    mayTell(/401 \(Unauthorized\)/);
    // A wrong token says so, and does not lose where somebody wanted to go.
    await page.goto('/clients?state=failed');
    await page.getByLabel('Token').fill(`rekeyd_${'x'.repeat(43)}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('not accepted').waitFor();
    await signIn(page, fleet);
    expect(new URL(page.url()).pathname).toBe('/clients');

    // By links from the fleet, then by search.
    await page.getByRole('link', { name: 'Fleet' }).click();
    await page.getByRole('heading', { name: 'One thing needs you' }).waitFor();
    await page.getByRole('link', { name: /Show it.*1 client failed/ }).click();
    expect(await page.locator('tbody tr').count()).toBe(1);
    await page.getByLabel('Search').fill(client.clientId.slice(3, 12));
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await page.getByText('1 client.').waitFor();
    await page.locator('tbody').getByRole('link', { name: client.id }).click();
    await page.getByRole('heading', { level: 1, name: client.ref }).waitFor();
    await page.getByText(`the server refused the PATCH (400): ${WHY}`).first().waitFor();
    await page.getByText('What to do:').waitFor();

    fleet.emulator.faults.clear();
    const form = await openForm(page, 'Rotate its key');
    await send(form, 'Show what would happen', 'it is unlocked again');
    await page.getByRole('heading', { name: 'Rotate this key?' }).waitFor();
    expect((await fleet.record(client)).rotation).toBeNull();
    // Back and forth, and a reload: the browser asks nothing, and shows both pages again.
    expect(page.url()).not.toContain('unlocked');
    await page.reload();
    await page.goBack();
    await page.getByRole('heading', { level: 1, name: client.ref }).waitFor();
    await page.goForward();
    await page.getByText('It is asked for because: it is unlocked again').waitFor();
    await page.getByRole('button', { name: 'Rotate now' }).click();
    await page.getByText('The request is taken.').waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'Asked for already' }).waitFor();
    await page.getByRole('link', { name: 'See what came of it' }).click();
    await page.locator('table').getByRole('link', { name: client.id }).click();
    await page.getByRole('heading', { level: 1, name: client.ref }).waitFor();
    await mark(page);
    await shows(page, page.getByText('Its key signs in, and is not due.'));
    await shows(page, page.locator('[data-live=rotations]').getByText('finished', { exact: true }));
    if (scripts) expect(await isStillTheSame(page)).toBe(true);
    const completed = (await fleet.audit()).findLast(({ type }) => type === 'rotation.completed');
    expect(completed).toMatchObject({ client: client.ref, claimed_by: 'token:ana', reason: 'it is unlocked again' });

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out').waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.getByText(client.id).count(), 'nothing is kept by the browser').toBe(0);
  });

  test('a compromise is shown before it is done, takes a confirmation, and is seen to be over', async () => {
    const { fleet, url } = await startPage({ apps: [PEM_APP] });
    const clients = await Promise.all(Array.from({ length: 3 }, () => fleet.managed(PEM_APP)));
    const { page } = await visit(url, { scripts });
    await signIn(page, fleet);
    await page.getByRole('link', { name: 'Report a compromise' }).click();
    await page.getByLabel('All clients of an app').check();
    await page.getByLabel('App', { exact: true }).selectOption('185019846023/pem-app');
    await send(page.locator('main'), 'Show what would happen', 'keys in a log');
    await page.getByText('3 clients would get a new key').waitFor();
    await page.getByText('The breaker asks for a confirmation.').waitFor();
    expect(await page.locator('tbody tr').count()).toBe(3);
    expect(clients.flatMap((client) => fleet.patches(client))).toEqual([]);

    await page.getByLabel('Yes: replace the keys of 3 clients').check();
    await page.getByRole('button', { name: 'Replace them now' }).click();
    await page.getByRole('heading', { name: 'Replacing leaked keys' }).waitFor();
    await until('the page shows that all are done', async (saw) => {
      if (!scripts) await page.reload();
      const cells = saw(await page.locator('tbody tr td:last-child').allInnerTexts());
      return cells.length === 3 && cells.every((state) => state === 'finished');
    });
    for (const client of clients) {
      const { keys } = await fleet.record(client);
      expect(keys.map(({ kid }) => kid)).not.toContain(client.key.kid);
    }
    await page.locator('tbody a').first().click();
    await shows(page, page.getByText('Reported as compromised'));
  });

  test('a wave that stopped says why, and goes on when somebody has seen to it', async () => {
    const app = { ...PEM_APP, policy: { format: 'pem', cohort: { first: '50%', then: '0s' } } };
    const { fleet, url } = await startPage({ apps: [app] });
    const clients = await Promise.all(Array.from({ length: 2 }, () => fleet.managed(app)));
    fleet.emulator.faults.add({ kind: 'status', status: 400, message: WHY, match: CHANGE });
    await fleet.queues.addUpkeep('sweep', { v: 1, policy: app.slug, slot: 'one', reindex: true }, 'one');
    const { page } = await visit(url, { scripts });
    await signIn(page, fleet);
    await shows(page, page.getByText(`The wave of policy ${app.slug} has stopped`));
    await page.reload();
    await page.getByRole('link', { name: 'Resume it' }).click();
    // The link has opened the form.
    const form = page.locator('details.action', { hasText: `Go on with the wave of ${app.slug}` });
    await form.getByText('It stopped: 1 of 1 rotations that went first failed').waitFor();
    await send(form, 'Begin the rest', 'it is unlocked again');
    await page.getByText(`The wave of policy ${app.slug} goes on`).first().waitFor();
    await until('the rest is rotated', async () => {
      const found = await Promise.all(clients.map((client) => fleet.record(client)));
      return found.some(({ keys }) => keys.some(({ proof }) => proof !== null));
    });
    const resumed = (await fleet.audit()).find(({ type }) => type === 'policy.resumed');
    expect(resumed).toMatchObject({ claimed_by: 'token:ana', reason: 'it is unlocked again' });
  });

  test('a client is paused and resumed, its rotation is taken back, and a fleet is paused', async () => {
    const app = { ...PEM_APP, policy: { overlap: '1h' } };
    const { fleet, url } = await startPage({ apps: [app] });
    const client = await fleet.managed(app);
    await fleet.reached(client, await fleet.rotate(client), 'active');
    const { page } = await visit(url, { scripts });
    await signIn(page, fleet);
    await page.goto(`/clients/${client.ref}`);
    const pause = await openForm(page, 'Pause');
    await pause.getByLabel('For').selectOption('4h');
    await send(pause, 'Pause', 'its application moves');
    await page.getByText(`Paused: ${client.ref}.`).waitFor();
    await page.getByText('its application moves').first().waitFor();
    await send(await openForm(page, 'Resume'), 'Resume', 'it has moved');
    await page.getByText(`Resumed: ${client.ref}.`).waitFor();

    await send(await openForm(page, 'Put the previous key back'), 'Put it back', 'the new one was a mistake');
    await page.getByText('The previous key is put back.').waitFor();
    await until('the old key signs again', async () => {
      const { keys, rotation } = await fleet.record(client);
      return rotation === null && keys.some(({ kid, state }) => kid === client.key.kid && state === 'active');
    });
    await shows(page, page.locator('[data-live=rotations]').getByText('rolled back', { exact: true }));

    await page.goto('/');
    const many = await openForm(page, 'Pause scheduled rotations');
    await many.getByLabel('All clients', { exact: true }).check();
    await send(many, 'Pause', 'Black Friday');
    await page.getByText('Paused: all clients.').waitFor();
    await page.getByText('Black Friday').first().waitFor();
    await send(await openForm(page, 'Resume all clients'), 'Resume', 'it is over');
    await page.getByText('Resumed: all clients.').waitFor();
  });
});
