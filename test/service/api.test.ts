/** The HTTP API of a service that runs: rotations, clients, the audit log. */
import { describe, expect, test } from 'vitest';
import { caller, makeToken } from '../support/api.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';

const ANYWHERE = { http: { listen: '127.0.0.1:0' } };

async function start() {
  const fleet = await startFleet({ apps: [PEM_APP], config: ANYWHERE });
  const service = await fleet.start({ http: true });
  const url = service.url ?? '';
  return { fleet, service, url, api: caller(url, await makeToken(fleet)) };
}

describe('a rotation that is asked for over HTTP', () => {
  test('is begun, told, and done once, however often it is asked for under one key', async () => {
    const { fleet, api } = await start();
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
    expect(await api(`/v1/clients/${client.ref}`)).toMatchObject({ status: 200, body: { client: client.ref } });
    const other = await api('/v1/rotations', { json: { ...json, reason: 'another' }, headers });
    expect(other).toMatchObject({ status: 422, type: 'application/problem+json' });
    const entries = (await fleet.audit()).filter(({ type }) => type === 'api.called' || type === 'rotation.started');
    expect(entries).toMatchObject([
      { type: 'api.called', claimed_by: 'token:siem', data: { request: one.body.request, address: '127.0.0.1' } },
      { type: 'rotation.started', rotation: id },
    ]);
  });
});
