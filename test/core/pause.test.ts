/** Pauses by people: what covers a client, and which of several holds it back. */
import { expect, it } from 'vitest';
import { byScope, type Pause, pauseEntry, pauseOf, type Scope, scopeName, scopesOf } from '../../src/core/pause.ts';
import { HOUR, REF, START } from './support.ts';

const pause = (scope: Scope, until: number | null = null): Pause => ({
  scope,
  actor: 'cli:jane',
  reason: 'incident',
  at: START,
  until,
});
const held = (...pauses: readonly Pause[]) => pauseOf(byScope(pauses, START), REF, 'payments')?.scope ?? null;

it('every scope has a name of its own', () => {
  const scopes = scopesOf(REF, 'payments');
  expect(scopes.map(scopeName)).toEqual(['all', 'policy payments', 'app 185019846023/mcp-auth', `client ${REF}`]);
  expect(scopesOf(REF, null).map(scopeName)).not.toContain('policy null');
});

it.each<[string, Scope, boolean]>([
  ['all', { all: true }, true],
  ['its policy', { policy: 'payments' }, true],
  ['another policy', { policy: 'payments2' }, false],
  ['its app', { app: '185019846023/mcp-auth' }, true],
  ['another app', { app: '185019846023/mcp' }, false],
  ['itself', { client: REF }, true],
])('a client is held back by a pause of %s: %s', (_, scope, covered) => {
  expect(held(pause(scope))).toEqual(covered ? scope : null);
});

it('a pause whose time is over holds nothing back', () => {
  expect(held(pause({ all: true }, START))).toBeNull();
  expect(held(pause({ all: true }, START + 1))).toEqual({ all: true });
});

it('of several pauses the one that lasts longest counts, and of those the widest', () => {
  const [client, app, all] = [{ client: REF }, { app: '185019846023/mcp-auth' }, { all: true } as const];
  expect(held(pause(all, START + HOUR), pause(client))).toEqual(client);
  expect(held(pause(client, START + HOUR), pause(app, START + 2 * HOUR))).toEqual(app);
  expect(held(pause(client), pause(all))).toEqual(all);
});

it('is told in the audit log, under the name of the client where it is one', () => {
  const cause = { actor: 'cli:jane', reason: 'incident' };
  expect(pauseEntry('schedule.paused', { client: REF }, cause)).toEqual({
    type: 'schedule.paused',
    client: REF,
    rotation: null,
    ...cause,
    data: { client: REF },
  });
  expect(pauseEntry('schedule.resumed', { all: true }, cause, { until: null })).toMatchObject({
    client: null,
    data: { all: true, until: null },
  });
});
