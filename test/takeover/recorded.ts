/** The fixture as tests use it: its config with the places of this run, and its clients. */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestKey } from '../emulator/testing.ts';
import type { FleetClient } from '../support/fleet.ts';
import type { Fixture } from './restore.ts';

/** A client, and the word for its phase. */
export type Recorded = FleetClient & { readonly what: string };

export async function readFixture(): Promise<Fixture> {
  return JSON.parse(await readFile(join(import.meta.dirname, '692ce67.json'), 'utf8'));
}

/** @param wacht URL of the emulator */
export function configText(
  { config }: Fixture,
  { dir, socketPath, wacht }: { readonly dir: string; readonly socketPath: string; readonly wacht: string },
): string {
  return JSON.stringify(config)
    .replaceAll('{redis}', `unix://${socketPath}`)
    .replaceAll('{dir}', dir)
    .replaceAll('{wacht}', wacht);
}

/** @param dir the fleet's folder */
export function recordedClients(fixture: Fixture, dir: string): readonly Recorded[] {
  const rows = fixture.server.flatMap(({ apps }) =>
    apps.flatMap(({ slug, selection, clients }) => clients.map((row) => ({ app: { slug, selection }, row }))),
  );
  return fixture.originals.map(({ ref, what, kid, alg, key }) => {
    const found = rows.find(({ row, app }) => ref.endsWith(`/${app.slug}/${row.id}`));
    if (found === undefined) throw new Error(`the fixture has no server row of ${ref}`);
    const { app, row } = found;
    const original: TestKey = { kid, alg, privateKey: createPrivateKey(key), jwk: {} as TestKey['jwk'], pem: '' }; // only signs
    const folder = join(dir, 'data', 'keys', ...ref.split('/'));
    return { what, ref: ref as FleetClient['ref'], app, id: row.id, clientId: row.client_id, key: original, folder };
  });
}
