/** Sinks beside the key folder: a rotation waits for all of them, and publishes nothing before. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startVault } from '../deliver/vault/server.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const metaIn = async ({ folder }: FleetClient) => JSON.parse(await readFile(join(folder, 'meta.json'), 'utf8'));

/** What keeps the client's rotation, as `status` shows it. */
async function reason(fleet: Fleet, client: FleetClient): Promise<string> {
  const { rotation } = await fleet.record(client);
  return rotation?.tries.error ?? '';
}

test('a rotation waits for a sink that is away, publishes nothing, and goes on when it is back', async () => {
  const vault = await startVault();
  vault.addToken('token-of-rekeyd');
  const directory = { kind: 'directory', path: './data/keys' };
  const sink = { kind: 'vault', url: vault.url, auth: { token: 'env:VAULT_TOKEN' } };
  const fleet = await startFleet({ apps: [PEM_APP] });
  const config = await fleet.configOf({ ...fleet.file, sinks: [directory, sink] }, { VAULT_TOKEN: 'token-of-rekeyd' });
  const client = await fleet.managed(PEM_APP);
  await fleet.start({}, config);
  const inVault = () => JSON.parse(vault.latest(`rekeyd/${client.ref}`)?.data?.['meta.json'] ?? 'null');
  // It has nothing of the client yet: a start puts that right.
  await until('Vault has the imported key', (saw) => saw(inVault())?.current === client.key.kid);

  const logins = await startLogins(client, fleet);
  vault.sealed = true;
  const id = await fleet.rotate(client);
  await until('it says what it waits for', async (saw) => saw(await reason(fleet, client)).includes('Vault is sealed'));
  await logins.more(2);
  expect(fleet.patches(client)).toEqual([]);
  expect((await fleet.record(client)).keys.map(({ state }) => state).sort()).toEqual(['active', 'pre-active']);
  expect((await metaIn(client)).current).toBe(client.key.kid);

  vault.sealed = false;
  const { kid } = await fleet.reached(client, id);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ refused: [] });
  expect([(await metaIn(client)).current, inVault().current, inVault().previous]).toEqual([kid, kid, null]);
  await expectSound(fleet, [client]);
  const published = fleet.emulator.log.findIndex(({ method }) => method === 'PATCH');
  expect(published).toBeGreaterThan(-1);
  expect(fleet.lines.join('')).not.toContain('token-of-rekeyd');
});
