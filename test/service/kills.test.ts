/** SIGKILL at every point: whatever a worker was doing, the next one goes on, and nobody's login is refused meanwhile. */
import { expect, test } from 'vitest';
import type { FleetApp } from '../support/fleet.ts';
import { killAtEach, NEXT_LOCK_MS, pointsOf } from '../support/killing.ts';
import { expectSound } from '../support/sound.ts';

const OVERLAP: FleetApp = { slug: 'app', selection: 'jwks_kid', policy: { strategy: 'overlap' } };
const CUTOVER: FleetApp = { slug: 'app', selection: 'first_pem' };

/** Where a PATCH was sent and its outcome is not in the store. */
const UNKNOWN = /^patch:(after effect|before commit)/;

test.each([
  ['an overlap', OVERLAP, 2],
  ['a cutover', CUTOVER, 1],
] as const)('a worker killed at any point of %s', { timeout: 120_000 }, async (_name, app, documents) => {
  const points = await pointsOf(app);
  expect(points).toContain('patch:intent:after commit 0');
  const [fleet, killed] = await killAtEach(app, points);
  await fleet.start({ lockMs: NEXT_LOCK_MS });
  for (const { point, client, rotation, logins } of killed) {
    await fleet.reached(client, rotation);
    await logins.more(1);
    const { refused, fallback } = await logins.stop();
    expect(refused, point).toEqual([]);
    if (app === OVERLAP) expect(fallback, point).toBe(0);
    const bodies = fleet.patches(client).map(({ body }) => JSON.stringify(body));
    expect(new Set(bodies).size, `${point}: the same bytes again`).toBe(documents);
    expect(bodies.length, point).toBeLessThanOrEqual(UNKNOWN.test(point) ? documents + 1 : documents);
  }
  await expectSound(
    fleet,
    killed.map(({ client }) => client),
  );
});
