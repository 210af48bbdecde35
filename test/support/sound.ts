import { expect } from 'vitest';
import type { TestKey } from '../emulator/testing.ts';
import type { Fleet, FleetClient } from './fleet.ts';
import { thumbprints } from './published.ts';
import { until } from './until.ts';

/**
 * What must hold for every client once its last rotation is finished, whatever happened before.
 * @param theirs keys that somebody else published
 */
export async function expectSound(
  fleet: Fleet,
  clients: readonly FleetClient[],
  theirs: readonly TestKey[] = [],
): Promise<void> {
  const audit = await fleet.audit();
  expect(
    audit.map(({ seq }) => seq),
    'the log has no gap',
  ).toEqual(audit.map((_, index) => index + 1));
  for (const client of clients) {
    const record = await until(`${client.ref} has no key on its way out`, async () => {
      const found = await fleet.record(client);
      return found.retirements.length === 0 && found;
    });
    const active = record.keys.filter(({ state }) => state === 'active');
    expect(active, `${client.ref} has one active key`).toHaveLength(1);
    // Old private halves are erased; the active one, and one that is kept ready, are not.
    const ready = record.keys.filter(({ kid }) => kid === record.standby?.kid);
    const sealed = await fleet.resources.store.sealedHalves(client.ref);
    const kept = [...active, ...ready].map(({ thumbprint }) => thumbprint);
    expect([...sealed.keys()].sort(), `${client.ref} has the private half of those keys alone`).toEqual(kept.sort());
    const kidsOf = (wanted: string) =>
      audit.filter(({ type, client: ref }) => type === wanted && ref === client.ref).map(({ data }) => data.kid);
    // A new key that is reported before it is in use is replaced within its rotation.
    const reported = kidsOf('key.compromised');
    const rotations = audit
      .filter(
        ({ type, client: ref, data, rotation }) =>
          type === 'key.generated' && ref === client.ref && rotation !== null && !reported.includes(data.kid),
      )
      .map(({ rotation }) => rotation);
    expect(rotations, `${client.ref}: one key for each rotation`).toEqual([...new Set(rotations)]);
    // Published means: sealed in the store at an earlier time, or there before rekeyd was.
    const stored = new Map(
      audit
        .filter(({ type, client: ref }) => type === 'key.stored' && ref === client.ref)
        .map(({ data, time }) => [String(data.kid), Date.parse(time)]),
    );
    const known = await thumbprints({ jwks: { keys: [client.key, ...theirs].map(({ jwk }) => jwk) } });
    for (const { body, at } of fleet.patches(client)) {
      for (const kid of await thumbprints(body)) {
        const since = known.includes(kid) ? 0 : (stored.get(kid) ?? Number.POSITIVE_INFINITY);
        expect(since, `${kid} of ${client.ref} was stored before it was published`).toBeLessThanOrEqual(at);
      }
    }
  }
}
