/** Pauses and freezes, imports, rollbacks, releases, offers, and what is told of them. */
import { describe, expect, test } from 'vitest';
import type { LogEntry } from '../../emulator/log.ts';
import { withPem } from '../../emulator/testing.ts';
import type { AuditLine, StoredRecord } from '../evidence/evidence.ts';
import { begun, commitOf, entryOf, fleetOf, refOf, rulesOf, type Told } from './fleets.ts';
import { importsAreProven } from './imports.ts';
import { rollbacksGoBack } from './rollback.ts';
import { schedulesAreHeldBack } from './schedules.ts';
import { refusal } from './story.ts';
import { bodyWith, client, endOf, foreign, fresh, kidOf, leaving, old, ROTATION, recordOf, under } from './subject.ts';
import { type Draft, misaccounted } from './transitions.ts';
import { strangersAreLeftAlone } from './trust.ts';

const LATER_MS = 3_000;

describe('a rotation that a schedule begins', () => {
  const paused = (scope: object) => entryOf('schedule.paused', { ...scope, until: null });
  test.each<[string, object, string | null, readonly string[]]>([
    ['while its client is paused', { client: refOf(0) }, null, ['paused_schedule']],
    ['while its policy is paused', { policy: 'overlap' }, null, ['paused_schedule']],
    ['while everybody is paused', { all: true }, null, ['paused_schedule']],
    ['while another one is paused', { client: refOf(1) }, null, []],
    ['when the pause is over', { client: refOf(0) }, 'schedule.resumed', []],
  ])('%s', (_, scope, ended, rules) => {
    const told = [paused(scope), LATER_MS, ...(ended === null ? [] : [entryOf(ended, scope)]), begun(0, 'r')];
    expect(rulesOf(schedulesAreHeldBack, fleetOf(2, {}), told)).toEqual(rules);
  });

  test.each([
    ['1970-01-01/1970-01-01', ['frozen_schedule']],
    ['1971-01-01/1971-01-01', []],
  ])('within the freeze %s, or not', (freeze, rules) => {
    expect(rulesOf(schedulesAreHeldBack, fleetOf(1, { freeze: [freeze] }), [begun(0, 'r')])).toEqual(rules);
  });
});

describe('a key is imported', () => {
  const imported = commitOf(0, recordOf([[old, 'active']]), {
    type: 'key.imported',
    data: { kid: old.kid, thumbprint: kidOf(old) },
  });
  const proof = { ...refusal(old.kid), at: 0, status: 200, verdict: 'accepted', authenticatedKid: kidOf(old) };
  const request = { deployment: null, app: null, client: '0', clientId: client.clientId, body: null } as const;
  test.each([
    ['that somebody signs in with', {}, []],
    ['that is refused', { status: 400, authenticatedKid: undefined }, ['held_unproven']],
    ['beside one that signs in', { authenticatedKid: kidOf(fresh) }, ['held_unproven']],
  ])('%s', (_, change, rules) => {
    const asked = { ...request, ...proof, ...change } as LogEntry; // all of its members are there
    expect(rulesOf(importsAreProven, fleetOf(1, {}), [imported], [asked])).toEqual(rules);
  });
});

describe('a rollback', () => {
  const [restores, replaces] = [old.kid, kidOf(fresh)];
  const undone: Told = { kind: 'undone', ref: refOf(0), rotation: 'back', restores, replaces };
  const line = (type: string, rotation: string, kid: string): AuditLine => ({
    ...{ seq: 1, at: 0, actor: 'a test', draft: '' },
    ...{ type, rotation, client: refOf(0), data: { kid } },
  });
  const good = [
    line('key.activated', 'back', restores),
    line('key.deactivated', 'back', replaces),
    line('rotation.rolled_back', 'forth', replaces),
    line('key.destroyed', 'back', replaces),
    line('rotation.completed', 'back', replaces),
  ];
  test('that is told whole is one', () => {
    expect(rulesOf(rollbacksGoBack, fleetOf(1, {}), [undone], [], { audit: good })).toEqual([]);
  });
  test.each(good.map(({ type }) => type))('without %s is none', (missing) => {
    const audit = good.filter(({ type }) => type !== missing);
    expect(rulesOf(rollbacksGoBack, fleetOf(1, {}), [undone], [], { audit })).toEqual(['rollback']);
  });
  test('that failed owes nothing', () => {
    const audit = [line('rotation.failed', 'back', restores)];
    expect(rulesOf(rollbacksGoBack, fleetOf(1, {}), [undone], [], { audit })).toEqual([]);
  });
});

test('a released client leaves nothing behind, and is left alone', () => {
  const [one] = fleetOf(1, {});
  if (one === undefined) throw new Error('one was asked for');
  const told: readonly Told[] = [{ kind: 'released', ref: one.ref }, commitOf(0, recordOf([], { enrolment: 'found' }))];
  const ends = (sealed: readonly string[]) => [
    { ...endOf(one), record: recordOf([], { enrolment: 'found' }), sealed: new Map(sealed.map((kid) => [kid, ''])) },
  ];
  expect(rulesOf(rollbacksGoBack, [one], told, [], { ends: ends([]) })).toEqual([]);
  expect(rulesOf(rollbacksGoBack, [one], told, [], { ends: ends(['left']) })).toEqual(['released']);
  expect(rulesOf(strangersAreLeftAlone, [one], told)).toEqual([]);
  expect(rulesOf(strangersAreLeftAlone, [one], [...told, begun(0, 'r')])).toEqual(['not_entrusted']);
});

describe('a found client is offered a key', () => {
  const found = { ...client, enrolment: 'found' as const, app: { ...client.app, policy: { adopt: 'overlap' } } };
  const clients = [{ ...found, ref: refOf(0), id: '0', foreign: [] }];
  const adopting = { ...under('published').rotation, adopting: true as const };
  const offered = commitOf(0, recordOf([[fresh, 'pre-active']], { enrolment: 'found', rotation: adopting }));
  const patch = (...keys: readonly object[]) =>
    ({ at: 0, api: 'management', method: 'PATCH', client: '0', body: bodyWith(...keys), status: 200 }) as never;
  const theirs = { ...withPem(old), alg: 'ES256' };
  test.each([
    ['beside its own', [theirs, withPem(fresh)], []],
    ['before its own', [withPem(fresh), theirs], ['offer']],
    ['in place of its own', [withPem(foreign)], ['offer']],
    ['beside its own, which is changed', [{ ...theirs, use: 'enc' }, withPem(fresh)], ['offer']],
  ])('%s', (_, keys, rules) => {
    expect(rulesOf(strangersAreLeftAlone, clients, [offered], [patch(...keys)])).toEqual(rules);
  });
  test('and is rotated', () => {
    const rotated = commitOf(0, recordOf([[fresh, 'active']], { ...under('requested'), enrolment: 'found' }));
    expect(rulesOf(strangersAreLeftAlone, clients, [rotated])).toEqual(['not_entrusted']);
  });
});

describe('it is told when', () => {
  const offered = { ...under('offered'), enrolment: 'found' as const };
  const late = leaving('overlap').retirements.map((old) => ({ ...old, delayed: true as const }));
  const keys = [
    [old, 'deactivated'],
    [fresh, 'active'],
  ] as const;
  test.each<[string, StoredRecord, StoredRecord, Draft]>([
    [
      'a key is offered',
      recordOf([], { ...under('proven'), enrolment: 'found' }),
      recordOf([], offered),
      { type: 'client.offered', rotation: ROTATION, data: {} },
    ],
    [
      'signers keep an old key for too long',
      recordOf(keys, leaving('overlap')),
      recordOf(keys, { retirements: late }),
      { type: 'rotation.delayed', rotation: ROTATION, data: {} },
    ],
  ])('%s, once', (_, before, after, draft) => {
    const change = { before, after, ended: [] };
    expect(misaccounted({ ...change, drafts: [draft] })).toEqual([]);
    expect(misaccounted({ ...change, drafts: [] })).toHaveLength(1);
    expect(misaccounted({ ...change, before: after, drafts: [draft] })).toHaveLength(1);
  });

  test('a key is put back, and the one that waits for its end was told to be late before', () => {
    const rotation = { ...under('stored').rotation, rollsBack: { rotation: { id: ROTATION }, delayed: true as const } };
    const change = { before: recordOf(keys, { rotation }), after: recordOf(keys, { rotation, retirements: late }) };
    expect(misaccounted({ ...change, ended: [], drafts: [] })).toEqual([]);
  });
});
