/** Each number of the fleet that is a link: the list behind it has as many clients. */
import { expect, test } from 'vitest';
import { type ClientRef, makeReference } from '../../../src/core/client.ts';
import { byScope, type Pause } from '../../../src/core/pause.ts';
import { queryOf } from '../../../src/http/page/shown.ts';
import { fleetPage } from '../../../src/http/page/views/fleet/fleet.ts';
import type { Known } from '../../../src/status/census/known.ts';
import { countsOf } from '../../../src/status/census/tally.ts';
import { listed } from '../../../src/status/clients/listing.ts';
import { pauseStatus, type Surroundings } from '../../../src/status/surroundings.ts';
import { elementsOf } from './html.ts';
import { NOW } from './samples/common.ts';
import { HEALTHY_FLEET } from './samples/fleets.ts';

const DAY = 86_400_000;
const GROUPS = ['a', 'b'].map((slug) => ({ deployment: 'd', app: `d/${slug}`, policy: 'default' }));
const WELL: Omit<Known, 'group'> = {
  ...{ is: 'settled', since: NOW - DAY, dueAt: NOW + DAY, overdueFrom: NOW + 2 * DAY, compromised: false },
  ...{ clientId: 'c', isEligible: true, signersMissing: false, drift: [] },
};

/** A client of each kind that is counted, and of some kinds that are easily taken for one another. */
const KINDS: readonly Partial<Known>[] = [
  ...[{}, { compromised: true }, { compromised: true, is: 'halted' as const }],
  ...[{ drift: ['foreign_added'] as const }, { drift: ['foreign_added'] as const, is: 'failed' as const }],
  // A rotation that waits for a signer; a key that stays, since a signer still signs with it; a rotation that waits for nobody.
  ...[{ signersMissing: true, is: 'rotating' as const }, { signersMissing: true }, { is: 'rotating' as const }],
  ...[{ is: 'found' as const }, { is: 'held' as const }, { overdueFrom: NOW - DAY, dueAt: NOW - DAY }],
];

const known = new Map(
  KINDS.flatMap((kind) => GROUPS.map((group) => ({ ...WELL, group, ...kind }))).map(
    (one, index): [ClientRef, Known] => [makeReference('d', one.group.app.slice(2), `${index}`), one],
  ),
);

/** Of all clients of an app, and of three alone: one of them is halted, and one belongs to that app. */
const three = [...known.keys()].filter((_, index) => [0, 1, 4].includes(index));
const pauses = [{ app: 'd/b' }, ...three.map((client) => ({ client }))].map(
  (scope): Pause => ({ scope, actor: 'token:ana', reason: 'a freeze', at: NOW, until: null }),
);

test('each number of the fleet is that of the list behind it', async () => {
  const deployments = new Map([['d', { paused: null, throttledUntil: null }]]);
  const seen: Surroundings = { now: NOW, deployments, pauses: byScope(pauses, NOW) };
  const { groups: _, ...counts } = await countsOf(known, seen);
  const text = String(fleetPage({ ...HEALTHY_FLEET, ...counts, pauses: pauses.map(pauseStatus) }, null));
  const links = elementsOf(text).flatMap(({ name, attributes, text: words }) => {
    const [number] = words.match(/\d+/) ?? (/Show it/.test(words) ? ['1'] : []);
    const isNumber = name === 'a' && attributes.href?.startsWith('/clients?') === true && number !== undefined;
    return isNumber ? [{ to: attributes.href ?? '', number: Number(number) }] : [];
  });
  const only = { claimedBy: 'token:ana', key: 'k', scopes: ['read' as const], only: null, isValid: async () => true };
  const found = await Promise.all(
    links.map(async ({ to }) => {
      const query = queryOf(new URL(to, 'http://none.invalid').searchParams, only);
      return { to, number: (await listed(known, query, new Set(), seen)).matching };
    }),
  );
  expect(found).toEqual(links);
  // Nothing of the above was left out.
  const conditions = links.filter(({ to }) => to.includes('condition=')).map(({ to, number }) => [to, number]);
  expect(conditions).toEqual([
    ['/clients?condition=compromised', 4],
    ['/clients?condition=drifted', 4],
    ['/clients?condition=signers', 4],
    ['/clients?condition=paused', 3],
  ]);
  expect(links.filter(({ to }) => to.includes('state='))).toHaveLength(13);
});
