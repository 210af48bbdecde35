/** A web server on this machine that shows a folder of public sets, as the one behind `publish.base_url` does. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { DEPLOYMENT, type Fleet, type FleetApp, type FleetClient, type FleetOptions, startFleet } from './fleet.ts';

const HOST = 'keys.example.com';

export interface ServedFleet extends Fleet {
  /** Where the client's set is. */
  fileOf(client: FleetClient): string;
  /** The kids of the set that the server is sent to, in order. */
  served(client: FleetClient): Promise<readonly unknown[]>;
}

/** A fleet whose publish folder is served, and found by the emulator. */
export async function startServedFleet(app: FleetApp, options: FleetOptions = {}): Promise<ServedFleet> {
  let folder = '';
  const read = async (url: string) => readFile(join(folder, decodeURIComponent(url)), 'utf8');
  const web = createServer(async ({ url = '' }, response) => {
    const set = await read(url).catch(() => null);
    response.writeHead(set === null ? 404 : 200, { connection: 'close' }).end(set ?? '');
  });
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  onTestFinished(() => void web.close());
  const { port } = web.address() as AddressInfo; // a TCP server that listens has one
  const fleet = await startFleet({
    apps: [app],
    ...options,
    emulator: { resolve: { [HOST]: `http://127.0.0.1:${port}` } },
    config: { publish: { path: './public', base_url: `https://${HOST}` } },
  });
  folder = join(fleet.dir, 'public');
  return {
    ...fleet,
    fileOf: ({ ref }) => join(folder, ...ref.split('/')),
    async served({ id }) {
      const url = new URL(fleet.emulator.client(DEPLOYMENT, app.slug, id).jwks_uri ?? '');
      if (url.host !== HOST) throw new Error(`the server is sent to ${url}`);
      const set: { keys: { kid: unknown }[] } = JSON.parse(await read(url.pathname));
      return set.keys.map(({ kid }) => kid);
    },
  };
}
