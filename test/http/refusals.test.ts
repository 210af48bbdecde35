/** What is made of refused calls, and of callers who ask too often. */
import { expect, test } from 'vitest';
import type { AuditDraft } from '../../src/core/audit.ts';
import { openLimiter } from '../../src/http/rate.ts';
import { openRefusals } from '../../src/http/refusals.ts';
import { createLog } from '../../src/runtime/log.ts';

function opened() {
  const [lines, drafts]: [string[], AuditDraft[]] = [[], []];
  const time = { now: 0 };
  const log = createLog({ level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
  const append = async (added: readonly AuditDraft[]) => void drafts.push(...added);
  const counts = new Map<number, number>();
  const count = (status: number) => void counts.set(status, (counts.get(status) ?? 0) + 1);
  const note = openRefusals({ log, append, count, now: () => time.now });
  const refuse = (address: string, status = 401, claimedBy: string | null = null) =>
    note({ status, detail: 'no', claimedBy, address, method: 'GET', path: '/v1/clients' });
  return { lines, drafts, time, refuse, counts };
}

test('each refused call is counted; one caller is told of once a minute, with how often', () => {
  const { lines, drafts, time, refuse, counts } = opened();
  for (let call = 0; call < 1_000; call += 1) refuse('192.0.2.1');
  refuse('192.0.2.1', 403, 'token:siem');
  expect([...counts]).toEqual([
    [401, 1_000],
    [403, 1],
  ]);
  expect(drafts).toMatchObject([
    { type: 'api.refused', actor: '192.0.2.1', data: { status: 401, times: 1, address: '192.0.2.1' } },
    { actor: 'token:siem', claimed_by: 'token:siem', data: { status: 403, times: 1 } },
  ]);
  expect(drafts[0]).not.toHaveProperty('claimed_by');
  time.now += 60_000;
  refuse('192.0.2.1');
  expect(drafts[2]).toMatchObject({ data: { times: 1_000 } });
  expect(lines).toHaveLength(3);
});

test('a flood from a million addresses is told of, and fills nothing', () => {
  const { lines, drafts, time, refuse, counts } = opened();
  for (let call = 0; call < 100_000; call += 1) refuse(`192.0.${call >> 8}.${call & 255}`);
  expect(counts.get(401)).toBe(100_000);
  expect(drafts).toHaveLength(60);
  expect(lines.length).toBeLessThanOrEqual(256);
  // An hour later there is room again, and the entry says how many went untold.
  time.now += 3_600_000;
  refuse('198.51.100.1');
  const told = drafts.reduce((sum, { data }) => sum + Number(data.times), 0);
  expect(drafts).toHaveLength(61);
  expect(told).toBeGreaterThan(250);
});

test('after a flood has ended, new callers are told of one by one again', () => {
  const { lines, time, refuse } = opened();
  for (let call = 0; call < 1_000; call += 1) refuse(`192.0.${call >> 8}.${call & 255}`);
  time.now += 2 * 3_600_000;
  const before = lines.length;
  for (const address of ['198.51.100.1', '198.51.100.2', '198.51.100.3']) refuse(address);
  expect(lines.slice(before).map((line) => JSON.parse(line).address)).toEqual([
    '198.51.100.1',
    '198.51.100.2',
    '198.51.100.3',
  ]);
});

test('a caller has its rate, and gets it back with time; others have their own', () => {
  const time = { now: 0 };
  const limit = openLimiter(
    () => ({ max: 10, perMs: 1_000 }),
    () => time.now,
  );
  const taken = Array.from({ length: 12 }, () => limit('a')).filter((waitMs) => waitMs === 0);
  expect(taken).toHaveLength(10);
  expect(limit('a')).toBe(100);
  expect(limit('b')).toBe(0);
  time.now += 100;
  expect([limit('a'), limit('a') > 0]).toEqual([0, true]);
  time.now += 1_000_000;
  expect(Array.from({ length: 12 }, () => limit('a')).filter((waitMs) => waitMs === 0)).toHaveLength(10);
});
