/** The store of HTTP tokens in other hands: a backup that is put back, and a list that somebody writes by hand. */
import { createHash, randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { claimed } from '../../jobs/claim.ts';
import type { TokenList } from '../../src/core/token.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { snapshot } from '../store/fixtures.ts';
import { bookOf, caller, makeToken } from '../support/api.ts';
import { rekeyd } from '../support/command.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

async function start() {
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen: '127.0.0.1:0' } } });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start({ http: true });
  const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  return { fleet, client, operator, url: service.url ?? '' };
}

const revoke = (fleet: Fleet, name: string) => bookOf(fleet).revoke(name, { actor: 'test', reason: 'it ends' });

/** Until a call with each of these tokens is answered with that. */
async function answered(url: string, tokens: Readonly<Record<string, string>>, status: number): Promise<void> {
  for (const [name, value] of Object.entries(tokens)) {
    await until(`the token ${name} is answered ${status}`, async (saw) => {
      return saw((await caller(url, value)('/v1/clients')).status) === status;
    });
  }
}

test('after a backup was restored and the loss declared, no token of before is valid, and a new one is', async () => {
  const { fleet, client, operator, url } = await start();
  const stays = await makeToken(fleet, { name: 'stays' });
  const revoked = await makeToken(fleet, { name: 'revoked' });
  await answered(url, { stays, revoked }, 200);
  const restore = await snapshot(operator);
  await revoke(fleet, 'revoked');
  const later = await makeToken(fleet, { name: 'later' });
  await answered(url, { revoked }, 401);
  await answered(url, { later }, 200);
  // The store is seen to be older only by what it held after the backup.
  await fleet.reached(client, await fleet.rotate(client));

  await restore();
  await answered(url, { stays, revoked, later }, 503);
  await expect(rekeyd(fleet, 'token', 'create', 'early', '--scope', 'read')).rejects.toThrow(/was rolled back/);
  await rekeyd(fleet, 'store', 'declare-loss', '--reason', 'restored the backup of 03:00');
  await answered(url, { stays, revoked, later }, 401);
  // Its name is free again, and what the list says now counts.
  const next = (await rekeyd(fleet, 'token', 'create', 'stays', '--scope', 'read')).trim();
  await answered(url, { next }, 200);
  await answered(url, { stays, revoked, later }, 401);
  expect(JSON.parse(await rekeyd(fleet, 'token', 'list', '--json')).tokens).toMatchObject([{ name: 'stays' }]);
});

test('a token that somebody writes into Redis is refused, whatever signature stands under it', async () => {
  const { fleet, operator, url } = await start();
  const good = await makeToken(fleet, { name: 'good', scopes: ['read'] });
  await answered(url, { good }, 200);
  const key = fleet.resources.store.keys.tokens;
  const signed = String(await operator.get(key));
  const [header = '', payload = '', signature = ''] = signed.split('.');
  const list: TokenList = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const forged = `rekeyd_${randomBytes(32).toString('base64url')}`;
  const hash = createHash('sha256').update(forged).digest('base64url');
  const encoded = (tokens: readonly object[]) =>
    Buffer.from(JSON.stringify({ ...list, serial: list.serial + 1, tokens })).toString('base64url');
  const [entry] = list.tokens;
  const wide = { ...entry, scopes: ['rotate', 'read', 'metrics'] };
  const [added, replaced] = [
    encoded([...list.tokens, { ...wide, name: 'mallory', hash }]),
    encoded([{ ...wide, hash }]),
  ];
  const signing = { store: fleet.resources.store, keks: keksOf(fleet.config) };
  const request = { v: 1, select: { all: true }, reason: 'a drill', actor: 'mallory', compromised: false } as const;
  const { claim = '' } = await claimed(request, 'a-job', 'os:mallory', signing);
  const [, , otherSignature = ''] = claim.split('.');
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  for (const [what, written] of [
    ['an entry beside the others, under their signature', `${header}.${added}.${signature}`],
    ['an entry in place of another, under its signature', `${header}.${replaced}.${signature}`],
    ['under a signature that the same KEK made for something else', `${header}.${added}.${otherSignature}`],
    ['a whole document that was signed for something else', claim],
    ['no signature', `${none}.${added}.`],
    ['the entry alone', JSON.stringify({ ...wide, name: 'mallory', hash })],
  ] as const) {
    await operator.set(key, written);
    await answered(url, { [what]: forged }, 503);
    expect((await caller(url, forged)('/v1/rotations', { json: request })).status, what).toBe(503);
  }
  // As a key of its own, beside the list.
  await operator.set(key, signed);
  await operator.set(`${key}:mallory`, JSON.stringify({ ...wide, name: 'mallory', hash }));
  await answered(url, { good }, 200);
  await answered(url, { forged }, 401);
  expect((await fleet.audit()).filter(({ type }) => type === 'rotation.requested')).toEqual([]);
});
