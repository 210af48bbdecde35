/** A fleet behind a company's proxy: nothing can be looked up or reached from here but the proxy, and its authority is the company's own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { certificateFor } from '../support/certificates.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { expectSound } from '../support/sound.ts';
import { startConnectProxy, startTls } from '../support/tunnels.ts';

const API = 'api.wacht.example';
const INNER = 'inner.example';

test('a rotation goes through the proxy: the API, the proofs, and an issuer that resolve leads elsewhere', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const company = certificateFor(`DNS:${API}`, `DNS:${PEM_APP.slug}.example.com`);
  const front = `http://127.0.0.1:${await startTls(company, fleet.emulator.url)}`;
  const proxy = await startConnectProxy({ hosts: { [API]: front, [INNER]: front }, login: 'rekeyd:hidden' });
  await writeFile(join(fleet.dir, 'company.pem'), company.cert);
  const [deployment] = Object(fleet.file.deployments);
  const behind = {
    ...deployment,
    api_url: `https://${API}`,
    proxy: 'env:COMPANY_PROXY',
    ca: 'file:company.pem',
    apps: [{ ...deployment.apps[0], resolve: { [`${PEM_APP.slug}.example.com`]: `https://${INNER}` } }],
  };
  Object.assign(fleet.env, { COMPANY_PROXY: proxy.url.replace('//', '//rekeyd:hidden@') });
  const client = await fleet.managed(PEM_APP);
  await fleet.start({}, await fleet.configOf({ ...fleet.file, deployments: [behind] }));
  const sent = fleet.emulator.log.length;
  await fleet.reached(client, await fleet.rotate(client));
  expect(fleet.emulator.log.length).toBeGreaterThan(sent);
  expect([...new Set(proxy.asked)].sort()).toEqual([`${API}:443`, `${INNER}:443`]);
  expect(fleet.lines.join('')).not.toContain('hidden');
  await expectSound(fleet, [client]);
});
