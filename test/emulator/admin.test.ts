import { describe, expect, test } from 'vitest';
import { setUpRenaming } from './renaming.ts';
import { replyOf } from './testing.ts';

const setUp = setUpRenaming();
const { rename } = setUp;

describe('over HTTP', () => {
  const admin = async (method: string, rule?: object) =>
    replyOf(
      await fetch(`${setUp.emulator.url}/_emulator/faults`, { method, ...(rule && { body: JSON.stringify(rule) }) }),
    );

  test('rules are added, listed with their count, and cleared', async () => {
    const rule = { kind: 'status', status: 503, when: 'after', match: { method: 'PATCH', path: 'clients' } };
    expect(await admin('POST', rule)).toMatchObject({ status: 201, body: { ...rule, fired: 0 } });
    expect((await rename()).status).toBe(503);
    expect(await admin('GET')).toMatchObject({ status: 200, body: { faults: [{ ...rule, fired: 1 }] } });
    expect(await admin('DELETE')).toMatchObject({ status: 204 });
    expect(await admin('GET')).toMatchObject({ body: { faults: [] } });
  });

  test.each([
    { kind: 'rate_limited', windowMs: 1000 },
    { kind: 'gateway_away', times: 3 },
    { kind: 'sign_in_refused', reason: 'expired', match: { api: 'runtime' } },
    { kind: 'page', status: 200, body: 'no JSON' },
    { kind: 'cut' },
    { kind: 'gzip' },
  ])('$kind is a rule', async (rule) => {
    expect(await admin('POST', rule)).toMatchObject({ status: 201, body: { ...rule, fired: 0 } });
  });

  test.each([
    ['no rule', []],
    ['an unknown reason', { kind: 'sign_in_refused', reason: 'mood' }],
    ['an unknown kind', { kind: 'earthquake' }],
    ['an unknown member', { kind: 'drop', when: 'after', whem: 'before' }],
    ['a path that is no expression', { kind: 'drop', when: 'after', match: { path: '(' } }],
  ])('%s is refused', async (_what, rule) => {
    expect(await admin('POST', rule)).toMatchObject({ status: 400, body: { error: expect.any(String) } });
    expect(setUp.emulator.faults.list()).toEqual([]);
  });
});
