/** The HTTP API of a service that runs: rotations, clients, the audit log. */
import { describe, expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { caller, makeToken } from '../support/api.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const ANYWHERE = { http: { listen: '127.0.0.1:0' } };

async function startOn(fleet: Fleet) {
  const service = await fleet.start({ http: true });
  const url = service.url ?? '';
  return { fleet, service, url, api: caller(url, await makeToken(fleet)) };
}

async function start() {
  return startOn(await startFleet({ apps: [PEM_APP], config: ANYWHERE }));
}

describe('a rotation that is asked for over HTTP', () => {
  test('is begun, told, and done once, however often it is asked for under one key', async () => {
    const { fleet, url, api } = await start();
    const client = await fleet.managed(PEM_APP);
    const json = { select: { clients: [client.ref] }, reason: 'a drill' };
    const headers = { 'idempotency-key': 'drill-1' };
    const [one, two] = await Promise.all([
      api('/v1/rotations', { json, headers }),
      api('/v1/rotations', { json, headers }),
    ]);
    expect(one).toMatchObject({ status: 202, body: { pending: false, rotations: [{ client: client.ref }] } });
    expect(two.body).toEqual(one.body);
    const [{ id }] = one.body.rotations;
    await fleet.reached(client, id);
    const later = await api('/v1/rotations', { json: { reason: 'a drill', select: json.select }, headers });
    expect(later).toMatchObject({ status: 202, body: one.body });
    expect(await api(`/v1/rotations/${id}`)).toMatchObject({
      status: 200,
      body: { id, client: client.ref, state: 'finished', actor: 'token:siem', reason: 'a drill' },
    });
    const known = { client: client.ref, advice: null };
    expect(await api(`/v1/clients/${client.ref}`)).toMatchObject({ status: 200, body: known });
    const other = await api('/v1/rotations', { json: { ...json, reason: 'another' }, headers });
    expect(other).toMatchObject({ status: 422, type: 'application/problem+json' });
    const entries = (await fleet.audit()).filter(({ type }) => type === 'api.called' || type === 'rotation.started');
    expect(entries).toMatchObject([
      { type: 'api.called', claimed_by: 'token:siem', data: { request: one.body.request, address: '127.0.0.1' } },
      { type: 'rotation.started', rotation: id, claimed_by: 'token:siem' },
    ]);
    // Of two bodies at the same moment one counts; and another token's key is another one.
    const next = { 'idempotency-key': 'drill-2', prefer: 'respond-async' };
    const both = await Promise.all(
      ['one', 'two'].map((reason) => api('/v1/rotations', { json: { ...json, reason }, headers: next })),
    );
    expect(both.map(({ status }) => status).sort()).toEqual([202, 422]);
    const third = caller(url, await makeToken(fleet, { name: 'third' }));
    const own = await third('/v1/rotations', { json: { ...json, reason: 'third' }, headers: next });
    expect(own.status).toBe(202);
    expect(own.body.request).not.toBe(both.find(({ status }) => status === 202)?.body.request);
    const begun = (await api(`/v1/clients/${client.ref}`)).body.rotation?.id;
    if (begun !== undefined) await fleet.reached(client, begun);
  });
});

test('who prefers not to wait asks later what came of it, as far as it may see that', async () => {
  const { fleet, url, api } = await start();
  const client = await fleet.managed(PEM_APP);
  const json = { select: { all: true }, reason: 'a drill' };
  const taken = await api('/v1/rotations', { json, headers: { prefer: 'respond-async' } });
  expect(taken).toMatchObject({ status: 202, body: { rotations: [], pending: true } });
  const place = taken.headers.get('location') ?? '';
  expect([place, taken.headers.get('preference-applied')]).toEqual([
    `/v1/requests/${taken.body.request}`,
    'respond-async',
  ]);
  const told = await until('it was begun', async () => {
    const answer = await api(place);
    return answer.body.pending === false && answer;
  });
  expect(told.body).toMatchObject({ request: taken.body.request, rotations: [{ client: client.ref }] });
  const elsewhere = caller(url, await makeToken(fleet, { name: 'elsewhere', only: '1/other' }));
  expect((await elsewhere(place)).body).toEqual({ request: taken.body.request, rotations: [], pending: false });
  expect((await api('/v1/requests/unknown')).status).toBe(404);
});

interface Heard {
  readonly id: number;
  readonly event: string;
  readonly data: { readonly seq: number; readonly rotation: string };
}

/** Reads a stream of events to its end. */
async function heard(response: Response): Promise<Heard[]> {
  const blocks = (await response.text()).split('\n\n').filter((block) => block.startsWith('id: '));
  return blocks.map((block) => {
    const [id = '', event = '', data = ''] = block.split('\n').map((line) => line.slice(line.indexOf(' ') + 1));
    return { id: Number(id), event, data: JSON.parse(data) };
  });
}

describe('the events of a rotation', () => {
  test('are its audit entries, from the first to the last, and go on after Last-Event-ID', async () => {
    const { fleet, url, api } = await start();
    const client = await fleet.managed(PEM_APP);
    const authorization = `Bearer ${await makeToken(fleet, { name: 'listener', scopes: ['read'] })}`;
    const json = { select: { clients: [client.ref] }, reason: 'a drill' };
    const [{ id }] = (await api('/v1/rotations', { json })).body.rotations;
    const events = (headers = {}) =>
      fetch(`${url}/v1/rotations/${id}/events`, { headers: { authorization, ...headers } });
    const live = await events();
    expect(live.headers.get('content-type')).toBe('text/event-stream');
    const [all, second] = await Promise.all([heard(live), events().then(heard)]);
    const entries = (await fleet.audit()).filter(({ rotation }) => rotation === id);
    expect(all.map(({ data }) => data)).toEqual(entries);
    expect(second).toEqual(all);
    expect(all.map(({ id: at, event }) => [at, event])).toEqual(entries.map(({ seq, type }) => [seq, type]));
    expect(all.at(-1)?.event).toBe('rotation.completed');
    // A caller that was cut off in the middle hears the rest. One that heard all is told not to come back.
    const [first, middle, last] = [all[0], all[3], all.at(-1)];
    expect(await heard(await events({ 'last-event-id': `${middle?.id}` }))).toEqual(all.slice(4));
    expect(await heard(await events({ 'last-event-id': '999999999' }))).toEqual(all);
    expect(await heard(await events({ 'last-event-id': `${(first?.id ?? 0) - 1}` }))).toEqual(all);
    expect((await events({ 'last-event-id': `${last?.id}` })).status).toBe(204);
  });

  test('end with the service, which does not wait for who listens', async () => {
    const fleet = await startFleet({ apps: [PEM_APP], config: ANYWHERE });
    const client = await fleet.managed(PEM_APP);
    const { service, url, api } = await startOn(fleet);
    fleet.emulator.faults.add({ kind: 'status', status: 503, match: CHANGE, times: 1_000_000 });
    const json = { select: { clients: [client.ref] }, reason: 'a drill' };
    const [{ id }] = (await api('/v1/rotations', { json })).body.rotations;
    const authorization = `Bearer ${await makeToken(fleet, { name: 'listener', scopes: ['read'] })}`;
    const stream = await fetch(`${url}/v1/rotations/${id}/events`, { headers: { authorization } });
    const chunks = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    const heard = await until('it hears of it', async (saw) => {
      const { value = '' } = saw((await chunks?.read()) ?? { value: '' });
      return value.includes('event: rotation.started');
    });
    expect(heard).toBe(true);
    await service.stop();
    await until('the stream has ended', async () => (await chunks?.read())?.done === true);
  });
});

describe('public keys', () => {
  test('are served to everybody, on a listener of their own where the config has one, and kept by who asks again', async () => {
    const fleet = await startFleet({
      apps: [PEM_APP],
      config: { http: { listen: '127.0.0.1:0', public: '127.0.0.1:0' } },
    });
    const client = await fleet.managed(PEM_APP);
    const { service, url } = await startOn(fleet);
    const open = caller(service.publicUrl ?? '', '');
    const { keys } = await fleet.record(client);
    const set = await open(`/jwks/${client.ref}`);
    expect(set).toMatchObject({ status: 200, type: 'application/jwk-set+json' });
    expect(set.body.keys.map(({ kid }: { kid: string }) => kid)).toEqual(keys.map(({ kid }) => kid));
    expect(JSON.stringify(set.body)).not.toMatch(/"(d|p|q)":/);
    expect(set.headers.get('cache-control')).toMatch(/^public, max-age=\d+/);
    const etag = set.headers.get('etag') ?? '';
    const again = await open(`/jwks/${client.ref}`, { headers: { 'if-none-match': `"other", W/${etag}` } });
    expect(again).toMatchObject({ status: 304, body: '' });
    expect((await open(`/jwks/185019846023/pem-app/none`)).status).toBe(404);
    expect((await open('/readyz')).status).toBe(200);
    // What is private is not there, and what is public not here.
    for (const path of ['/v1/clients', '/v1/audit', '/openapi.json']) expect((await open(path)).status, path).toBe(404);
    expect((await caller(url, '')(`/jwks/${client.ref}`)).status).toBe(404);
    expect((await caller(url, '')('/openapi.json')).status).toBe(200);
  });
});
