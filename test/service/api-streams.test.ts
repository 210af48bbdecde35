/** Streams of events of one caller: how many it may have open, and that a stream that nobody reads takes no place. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { MOST_OF_A_CALLER } from '../../src/http/events.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { caller, makeToken } from '../support/api.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const HTTP = { listen: '127.0.0.1:0', rate_limit: { max: 10_000, per: '1s' } };

/** An API without a worker, and a rotation that nobody ends. */
async function start() {
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: HTTP } });
  const client = await fleet.managed(PEM_APP);
  fleet.emulator.faults.add({ kind: 'status', status: 503, match: CHANGE, times: Number.POSITIVE_INFINITY });
  const worker = await fleet.start();
  const path = `/v1/rotations/${await fleet.rotate(client)}/events`;
  await worker.stop();
  const url = (await fleet.start({ http: true, worker: false })).url ?? '';
  return { fleet, url, path };
}

function listener(url: string, path: string, token: string) {
  const left = new AbortController();
  const answer = fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` }, signal: left.signal });
  return { answer, leave: () => left.abort() };
}

test('one token has a number of streams at once, however quickly it opens them, and another token has its own', async () => {
  const { fleet, url, path } = await start();
  const [greedy, modest] = [await makeToken(fleet), await makeToken(fleet, { name: 'modest', scopes: ['read'] })];
  const all = Array.from({ length: MOST_OF_A_CALLER + 20 }, () => listener(url, path, greedy));
  const open: (typeof all)[number][] = [];
  const refused: Response[] = [];
  for (const one of all) {
    const response = await one.answer;
    if (response.status === 200) open.push(one);
    else refused.push(response);
  }
  expect([open.length, refused.length]).toEqual([MOST_OF_A_CALLER, 20]);
  const [first] = refused;
  expect([first?.status, first?.headers.get('content-type'), first?.headers.get('retry-after')]).toEqual([
    429,
    expect.stringContaining('application/problem+json'),
    '30',
  ]);
  expect(await first?.json()).toMatchObject({
    detail:
      'token:siem has 200 streams of events open here, and one caller may have no more. Close one. Ask again later, or ask GET /v1/rotations/{id} now and then.',
  });
  const other = listener(url, path, modest);
  expect((await other.answer).status).toBe(200);
  // Every other call of the greedy token is answered.
  expect((await caller(url, greedy)('/v1/clients')).status).toBe(200);

  open[0]?.leave();
  const again = await until('its place is free', async () => {
    const next = listener(url, path, greedy);
    return (await next.answer).status === 200 && next;
  });
  for (const one of [...open.slice(1), other, again]) one.leave();
});

test('a caller that leaves before it is answered takes no place', async () => {
  const { fleet, url, path } = await start();
  const token = await makeToken(fleet);
  fleet.redis.pause();
  const sockets = Array.from({ length: MOST_OF_A_CALLER }, () => connect(Number(new URL(url).port), '127.0.0.1'));
  for (const socket of sockets) {
    socket.resume();
    socket.end(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`);
  }
  // The server has ended its half too: it knows that they are gone.
  await Promise.all(sockets.map((socket) => once(socket, 'close')));
  fleet.redis.resume();
  await until('a place is free', async (saw) => {
    const next = listener(url, path, token);
    const { status } = await next.answer;
    next.leave();
    return saw(status) === 200;
  });
});
