/** Standby keys: published too early, used although they leaked, not used although they did not, and used in more documents than one. */
import { expect, test } from 'vitest';
import type { LogEntry } from '../../emulator/log.ts';
import type { StoredRecord } from '../evidence/evidence.ts';
import { commitOf, fleetOf, rulesOf, snapshotOf, type Told } from './fleets.ts';
import { standbysAreKept } from './standby.ts';
import { BEGIN, documentOf, foreign, fresh, kidOf, old, recordOf } from './subject.ts';

const LATER_MS = 10_000;
const KEYS = [
  [old, 'active'],
  [fresh, 'pre-active'],
] as const;

/** Signers hold the standby key. */
const kept = (leaving: string | null = null): StoredRecord =>
  recordOf(KEYS, {
    standby: { kid: kidOf(fresh), leaving },
    signers: { delivered: { next: kidOf(fresh) } },
  });

/** The key in use was imported: what is made afterwards says more. */
const made: StoredRecord = {
  ...kept(),
  keys: kept().keys.map((key) => (key.state === 'active' ? { ...key, thumbprint: 'made by us' } : key)),
};

const reported = (keepStandby: boolean, kid: string | undefined): Told =>
  commitOf(
    0,
    recordOf(KEYS, {
      rotation: {
        id: 'r',
        strategy: 'cutover',
        compromised: {},
        keepStandby,
        phase: { name: 'delivered', ...(kid !== undefined && { kid }) },
        tries: { error: null },
      },
    }),
  );

const patch = (body: object, at = LATER_MS): LogEntry => ({
  ...{ at: BEGIN + at, api: 'management', method: 'PATCH', path: '/clients', deployment: null, app: 'overlap' },
  ...{ client: '0', clientId: 'oc_1', body, status: 200 },
});

/** An ordinary rotation. */
const taken = commitOf(0, recordOf(KEYS));

/** A set that we serve is announced. */
const served = (key: typeof old, record = kept()): Told =>
  commitOf(0, record, { type: 'key.publishing', data: { served: true, kids: [kidOf(key)] } });

const took = [snapshotOf(1, made), reported(true, kidOf(fresh))];

test.each<[what: string, told: readonly Told[], patches: readonly LogEntry[], ...rules: string[]]>([
  ['it is only kept', [snapshotOf(1, kept())], [patch(documentOf(old))]],
  ['it is published and only kept', [snapshotOf(1, kept())], [patch(documentOf(fresh))], 'standby_published'],
  ['it is spared and used', took, [patch(documentOf(fresh))]],
  ['it is spared and another one is used', [snapshotOf(1, made), reported(true, kidOf(foreign))], [], 'standby_unused'],
  [
    'two documents are sent',
    took,
    [patch(documentOf(old, fresh)), patch(documentOf(fresh), LATER_MS + 1)],
    'standby_patches',
  ],
  ['the same one is sent twice', took, [patch(documentOf(fresh)), patch(documentOf(fresh), LATER_MS + 1)]],
  [
    'it leaked with the other and is used',
    [snapshotOf(1, kept()), reported(false, kidOf(fresh))],
    [patch(documentOf(fresh))],
    'standby_exposed',
  ],
  ['it leaked and is not used', [snapshotOf(1, kept()), reported(false, kidOf(foreign))], [patch(documentOf(old))]],
  ['it is served and only kept', [snapshotOf(1, kept()), served(fresh)], [], 'standby_published'],
  [
    'it leaked and is served',
    [snapshotOf(1, kept()), reported(false, kidOf(fresh)), served(fresh, recordOf(KEYS))],
    [],
    'standby_exposed',
  ],
  ['another key is served', [snapshotOf(1, kept()), served(old)], []],
  [
    'it was given up for its age and is used',
    [snapshotOf(1, kept('old')), taken],
    [patch(documentOf(fresh))],
    'standby_given_up',
  ],
  [
    'it was given up, which Redis forgot',
    [snapshotOf(1, kept('old')), snapshotOf(1, kept()), taken],
    [patch(documentOf(fresh))],
  ],
  [
    'it was given up, and leaked before it was handed back',
    [snapshotOf(1, kept('old')), reported(false, kidOf(fresh))],
    [patch(documentOf(fresh))],
    'standby_exposed',
    'standby_given_up',
  ],
  [
    'it is published before a store was lost',
    [snapshotOf(1, kept()), LATER_MS + 100, { kind: 'store', what: 'lost', how: 'emptied' }],
    [patch(documentOf(fresh))],
    'standby_published',
  ],
  [
    'a store was lost',
    [snapshotOf(1, kept()), { kind: 'store', what: 'lost', how: 'emptied' }],
    [patch(documentOf(fresh))],
  ],
])('%s', (_, told, patches, ...rules) => {
  expect(rulesOf(standbysAreKept, fleetOf(1, { standby: true }), told, patches)).toEqual(rules);
});
