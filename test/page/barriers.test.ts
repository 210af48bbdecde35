/** Each page, in the light and in the dark, on a screen and on a phone: nothing keeps a person from reading and using it. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { DEPLOYMENT, type Fleet, KID_APP, PEM_APP } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { signIn, startPage } from './fixture.ts';
import { barriers, focused, overflow } from './looking.ts';
import { DESKTOP, PHONE, useBrowser } from './visiting.ts';

const { visit } = useBrowser();

/** Its rotations wait for signers. */
const SLOW_APP = { ...PEM_APP, policy: { require_ready: 1, ready_timeout: '1h', freeze: ['2020-01-01/2099-01-01'] } };

/** Something of everything. @returns paths of pages */
async function arrange(fleet: Fleet): Promise<readonly string[]> {
  const [failed, drifted, waiting, held, paused] = [
    await fleet.managed(KID_APP),
    await fleet.managed(KID_APP),
    await fleet.managed(SLOW_APP),
    await fleet.managed(KID_APP, { enroll: false }),
    await fleet.managed(KID_APP),
  ];
  const match = { ...CHANGE, client: failed.id };
  fleet.emulator.faults.add({ kind: 'status', status: 400, match, times: Number.POSITIVE_INFINITY });
  fleet.emulator.edit(DEPLOYMENT, KID_APP.slug, drifted.id, { jwks: { keys: [withPem(makeKey('RS256'))] } });
  const { store } = fleet.resources;
  const who = { actor: 'bob', reason: 'a move', at: await store.now(), until: null };
  for (const scope of [{ client: paused.ref }, { policy: KID_APP.slug }]) await store.beginPause({ scope, ...who }, []);
  const id = await fleet.queues.request({
    ...{ v: 1, reason: 'a test', actor: 'test', compromised: false },
    select: { clients: [failed.ref, waiting.ref, held.ref] },
  });
  await fleet.queues.control.add('request', { v: 1, select: { policy: 'none' } });
  await until('one fails', async () => (await fleet.record(failed)).failure !== null);
  await until('one waits', async () => (await fleet.record(waiting)).rotation?.phase.name === 'delivered');
  await until('one has drifted', async () => (await fleet.record(drifted)).drift !== undefined);
  const clients = [failed, drifted, waiting].map(({ ref }) => `/clients/${ref}`);
  return ['/', '/clients', ...clients, '/compromise', '/queues', `/requests/${id}`, '/no-such-page'];
}

async function expectNoBarriers(page: Page, place: string): Promise<void> {
  await page.evaluate('for (const one of document.querySelectorAll("details")) one.open = true');
  for (const size of [DESKTOP, PHONE]) {
    await page.setViewportSize(size);
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      const where = `${place}, ${scheme}, ${size.width} pixels`;
      expect(await barriers(page, scheme === 'light' ? 'all' : 'colours'), where).toEqual([]);
    }
    expect(await overflow(page), `${place} is wider than ${size.width} pixels`).toBeLessThanOrEqual(0);
  }
}

test('no page has barriers, in light and dark, wide and narrow', async () => {
  const { fleet, url } = await startPage({ apps: [KID_APP, SLOW_APP] });
  const paths = await arrange(fleet);
  const { page, mayTell } = await visit(url);
  mayTell(/404 \(Not Found\)/);
  await page.goto('/sign-in');
  await expectNoBarriers(page, '/sign-in');
  await signIn(page, fleet);
  for (const path of paths) {
    await page.goto(path);
    await expectNoBarriers(page, path);
  }
  await page.goto('/compromise?what=all');
  await page.getByLabel('Reason').fill('a test');
  await page.getByRole('button', { name: 'Show what would happen' }).click();
  await page.getByRole('heading', { name: 'Replace leaked keys?' }).waitFor();
  await expectNoBarriers(page, 'the dry run');
  const caption = await page.locator('caption').boundingBox();
  expect(caption?.height, 'a caption on a line of its own').toBeLessThan(60);
});

test('the tests see barriers where there are some', async () => {
  const { page } = await visit('http://none.invalid', { size: PHONE });
  const grey = '#777; background: #888';
  await page.setContent(
    `<html lang="en"><title>x</title><main><h1>x</h1><p style="color: ${grey}">hardly legible</p><button style="outline: none"></button><p style="width: 900px">wide</p>`,
  );
  const found = (await barriers(page)).map((line) => line.split(':')[0]);
  expect(found).toEqual(expect.arrayContaining(['button-name', 'color-contrast']));
  expect((await barriers(page, 'colours')).map((line) => line.split(':')[0])).toEqual(['color-contrast']);
  expect(await overflow(page)).toBeGreaterThan(500);
  await page.keyboard.press('Tab');
  expect(await focused(page)).toMatchObject({ name: 'button ', isShown: false });
});
