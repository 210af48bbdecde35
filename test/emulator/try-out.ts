/** What a person needs to run rekeyd against the emulator: a config, and the private keys that its clients sign with. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { DEPLOYMENT, type Fleet } from './seed.ts';

/** A `rekeyd.yaml` whose secrets come from the environment: KEK and API_KEY. */
export function configFor(origin: string, { clients }: Fleet): string {
  const apps = [...new Set(clients.map(({ app }) => app))];
  return stringify({
    data_dir: './data',
    encryption: { keks: [{ id: 'local', key: 'env:KEK' }] },
    deployments: [
      {
        id: DEPLOYMENT,
        api_url: origin,
        api_key: 'env:API_KEY',
        apps: apps.map(({ slug, fqdn }) => ({
          slug,
          issuer: `https://${fqdn}`,
          resolve: { [fqdn]: origin },
        })),
      },
    ],
    policies: { default: { schedule: '0 3 * * *', overlap: '1m', propagation: '5s' } },
  });
}

/**
 * Writes `<dir>/<app>/<client_id>.pem` for each client whose key somebody has: the folder of an app can be given to `rekeyd keys import --dir`.
 * @returns the paths, by client id
 */
export async function writeKeys(dir: string, { clients }: Fleet): Promise<ReadonlyMap<string, string>> {
  const paths = new Map<string, string>();
  for (const { app, client, privateKey } of clients) {
    if (privateKey === null) continue;
    const path = join(dir, app.slug, `${client.client_id}.pem`);
    await mkdir(join(dir, app.slug), { recursive: true, mode: 0o700 });
    await writeFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await chmod(path, 0o600);
    paths.set(client.id, path);
  }
  return paths;
}
