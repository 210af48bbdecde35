/** `/metrics` of a service that runs, as Prometheus reads it. */
import { expect, test } from 'vitest';
import { caller, makeToken } from '../support/api.ts';
import { DEPLOYMENT, PEM_APP, startFleet } from '../support/fleet.ts';
import { samplesIn } from '../support/metrics.ts';
import { until } from '../support/until.ts';

test('a compromise is measured from its report until the old key is refused, and told to a token with the scope', async () => {
  const fleet = await startFleet({
    apps: [PEM_APP],
    config: { http: { listen: '127.0.0.1:0', public: '127.0.0.1:0' } },
  });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start({ http: true });
  const value = await makeToken(fleet, { name: 'prometheus', scopes: ['metrics'] });
  const scraper = caller(service.publicUrl ?? '', value);
  const samples = async () => samplesIn((await scraper('/metrics')).body);
  const before = await samples();
  expect(before.get('rekeyd_rotations_total{outcome="failed"}')).toBe(0);
  expect(before.get('rekeyd_compromise_seconds_count')).toBe(0);

  const { exposure } = await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  await fleet.reached(client, await fleet.rotate(client));
  const after = await until('both rotations are counted', async (saw) => {
    const told = await samples();
    return saw(told.get('rekeyd_rotations_total{outcome="finished"}')) === 2 && told;
  });
  expect(after.get('rekeyd_compromise_seconds_count')).toBe(1);
  const took = ((exposure?.refusedAt ?? Number.NaN) - (exposure?.reportedAt ?? 0)) / 1000;
  expect(after.get('rekeyd_compromise_seconds_sum')).toBeCloseTo(took, 6);
  expect(after.get('rekeyd_rotation_duration_seconds_count')).toBe(2);
  const calls = fleet.emulator.log.filter(({ api }) => api === 'management').length;
  for (const name of ['rekeyd_api_request_duration_seconds_count', 'rekeyd_api_requests_total{status="200"}']) {
    expect(after.get(name), name).toBeGreaterThanOrEqual(fleet.patches(client).length);
    expect(after.get(name), name).toBeLessThanOrEqual(calls);
  }
  expect([...after.keys()].filter((name) => name.startsWith('rekeyd_build_info'))).toEqual([
    expect.stringMatching(/\{version="\d+\.\d+\.\d+",node="\d+\.\d+\.\d+"\}$/),
  ]);

  // Each listener has them, for nobody but who may see them; and who may not is counted.
  const restricted = await makeToken(fleet, { name: 'restricted', scopes: ['metrics'], only: `${DEPLOYMENT}/pem-app` });
  const reader = await makeToken(fleet, { name: 'reader', scopes: ['read', 'rotate'] });
  for (const url of [service.url ?? '', service.publicUrl ?? '']) {
    const allowed = await caller(url, value)('/metrics');
    expect(allowed.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const asked = ['', reader, restricted].map((token) => caller(url, token)('/metrics'));
    const answers = await Promise.all(asked);
    expect(answers.map(({ status }) => status)).toEqual([401, 403, 403]);
    for (const { body } of answers) expect(JSON.stringify(body)).not.toContain('rekeyd_build_info');
  }
  const told = await samples();
  expect(told.get('rekeyd_http_refused_total{status="401"}')).toBe(2);
  expect(told.get('rekeyd_http_refused_total{status="403"}')).toBe(4);
});
