/** A fleet with its page, and people who sign in there. */
import type { Page } from 'playwright-core';
import type { Service } from '../../src/runtime/service.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { makeToken, type TokenWish } from '../support/api.ts';
import { type Fleet, type FleetClient, type FleetOptions, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

export interface FleetWithPage {
  readonly fleet: Fleet;
  readonly service: Service;
  readonly url: string;
}

/** What is not signed in with any more, or has drifted, is noted this soon. */
const UPKEEP = '500ms';

export async function startPage(options: FleetOptions = {}): Promise<FleetWithPage> {
  const config = { http: { listen: '127.0.0.1:0' }, reconcile_every: UPKEEP, ...options.config };
  const fleet = await startFleet({ ...options, config });
  const service = await fleet.start({ http: true });
  return { fleet, service, url: service.url ?? '' };
}

/** As a person does it, who comes to the fleet then, or to where they wanted to go. */
export async function signIn(page: Page, fleet: Fleet, wish: TokenWish = {}): Promise<void> {
  const token = await makeToken(fleet, { name: 'ana', ...wish });
  if (!new URL(page.url(), 'http://none.invalid').pathname.startsWith('/sign-in')) await page.goto('/sign-in');
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
}

/** What the server says of a PATCH that it refuses. */
export const WHY = 'OAuth client is locked by an administrator';

/** Its PATCHes are refused from now on, and a rotation has failed. */
export async function fail(fleet: Fleet, client: FleetClient): Promise<void> {
  const match = { ...CHANGE, client: client.id };
  fleet.emulator.faults.add({ kind: 'status', status: 400, message: WHY, match, times: Number.POSITIVE_INFINITY });
  await fleet.rotate(client);
  await until('its rotation fails', async () => (await fleet.record(client)).failure !== null);
}

/** By somebody on the command line: each open page has something new to show. */
export async function pause({ resources: { store } }: Fleet, { ref }: FleetClient, reason: string): Promise<void> {
  const told = { type: 'schedule.paused', client: ref, rotation: null, actor: 'bob', reason, data: {} } as const;
  const scope = { client: ref };
  await store.beginPause({ scope, actor: 'bob', reason, at: await store.now(), until: null }, [told]);
}
