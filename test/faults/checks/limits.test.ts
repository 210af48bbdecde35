/** Pauses, and windows. */
import { describe, expect, test } from 'vitest';
import type { AuditLine, Evidence } from '../evidence/evidence.ts';
import { DEPLOYMENT } from '../names.ts';
import { pauseIsKept } from './pause.ts';
import { evidenceOf, type Step } from './story.ts';
import { BEGIN, client, endOf, neighbour } from './subject.ts';
import { windowsAreKept } from './windows.ts';

const line = (type: string, at: number, more: Partial<AuditLine> = {}): AuditLine => ({
  seq: 1,
  at,
  type,
  client: null,
  rotation: null,
  actor: 'rekeyd',
  data: { deployment: DEPLOYMENT },
  draft: '',
  ...more,
});

const third = { ...neighbour, ref: `${neighbour.ref}3`, id: '3' };
const ends = [client, neighbour, third].map((one) => endOf(one));
const patch = (status: number, of = client): Step => ({
  name: 'patch',
  request: { body: { jwks: {} }, client: of.id, status },
});
const row = (count: number, status: number, of: readonly (typeof client)[]): readonly Step[] =>
  Array.from({ length: count }, (_, index) => patch(status, of[index % of.length]));

describe('a pause', () => {
  const judged = (steps: readonly Step[], ...audit: readonly AuditLine[]) =>
    pauseIsKept(evidenceOf(steps, { ends, audit })).map(({ rule }) => rule);

  const read: Step = { name: 'read', request: { method: 'GET', body: null, status: 401 } };
  const paused = line('deployment.paused', BEGIN + 10);

  test('is kept when a few tries come', () => {
    expect(judged([read, ...row(3, 403, [client])], paused)).toEqual([]);
  });

  test('is not kept when everybody goes on', () => {
    expect(judged([read, ...row(10, 403, [client])], paused)).toEqual(['pause']);
  });

  test('is over when it is resumed', () => {
    expect(judged([read, ...row(10, 200, [client])], paused, line('deployment.resumed', BEGIN + 250))).toEqual([]);
  });

  test('is missing when all are refused, again and again', () => {
    expect(judged(row(40, 401, [client, neighbour, third]))).toEqual(['pause']);
    expect(judged(row(40, 401, [client, neighbour, third]), line('deployment.paused', BEGIN + 4_500))).toEqual([]);
  });

  test('is missing when all are refused again after one that is over', () => {
    const refused = row(30, 401, [client, neighbour, third]);
    const steps = [read, ...refused, patch(200), ...row(70, 200, [client]), ...refused];
    const first = [line('deployment.paused', BEGIN + 2_900), line('deployment.resumed', BEGIN + 3_050)];
    expect(judged(steps, ...first)).toEqual(['pause']);
    expect(judged(steps, ...first, line('deployment.paused', BEGIN + 13_200))).toEqual([]);
  });

  test('is not missing when one client is refused, or others are accepted', () => {
    expect(judged(row(40, 403, [client]))).toEqual([]);
    expect(judged([...row(20, 403, [client, neighbour, third]), patch(200), ...row(20, 403, [client])])).toEqual([]);
  });

  test('needs a reason that concerns everybody', () => {
    const begun = line('deployment.paused', BEGIN + 5_000);
    expect(judged(row(20, 403, [client, neighbour]), begun)).toEqual(['paused_for_nothing']);
    expect(judged(row(20, 403, [client, neighbour, third]), begun)).toEqual([]);
    expect(judged([...row(20, 403, [client]), read], begun)).toEqual([]);
    const look = (of: typeof client): Step => ({ name: 'look', request: { body: {}, client: of.id, status: 403 } });
    expect(judged([client, neighbour, third].map(look), begun)).toEqual([]);
  });
});

/** 2026-11-26 is a Thursday. */
const started = (time: string, actor = 'schedule:overlap') =>
  line('rotation.started', Date.parse(time), { client: client.ref, actor });

describe('a window', () => {
  const within = (windows: unknown, begun: AuditLine): Evidence =>
    evidenceOf([], {
      audit: [begun],
      ends: [endOf({ ...client, app: { ...client.app, policy: windows === null ? {} : { windows } } })],
    });

  test.each<[unknown, AuditLine, number]>([
    [['Mon-Thu 01:00-05:00'], started('2026-11-26T01:00:00Z'), 0],
    [['Mon-Thu 01:00-05:00'], started('2026-11-26T05:00:00Z'), 1],
    [['Fri-Mon 01:00-05:00'], started('2026-11-26T02:00:00Z'), 1],
    [['Fri-Mon 01:00-05:00'], started('2026-11-29T02:00:00Z'), 0],
    [['Fri-Fri 00:00-24:00', 'Thu-Thu 00:00-24:00'], started('2026-11-26T23:59:00Z'), 0],
    [['Fri-Mon 01:00-05:00'], started('2026-11-26T02:00:00Z', 'somebody'), 0],
    [null, started('2026-11-26T02:00:00Z'), 0],
  ])('%j: a rotation that begins as %j', (windows, begun, count) => {
    expect(windowsAreKept(within(windows, begun))).toHaveLength(count);
  });
});
