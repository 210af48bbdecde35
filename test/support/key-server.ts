/** A web server on this machine that shows a folder of public sets, as the one behind `publish.base_url` does. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { DEPLOYMENT, type Fleet, type FleetApp, type FleetClient, type FleetOptions, startFleet } from './fleet.ts';
import { listening } from './listening.ts';

const HOST = 'keys.example.com';

/** @returns the server's origin; it stops when the test ends */
export async function serveFolder(folder: () => string): Promise<string> {
  const web = createServer(async ({ url = '' }, response) => {
    const set = await readFile(join(folder(), decodeURIComponent(url)), 'utf8').catch(() => null);
    response.writeHead(set === null ? 404 : 200, { connection: 'close' }).end(set ?? '');
  });
  return `http://127.0.0.1:${await listening(web)}`;
}

export interface ServedFleet extends Fleet {
  /** Where somebody else may put a set, and what it is found under. */
  pathOf(name: string): string;
  urlOf(name: string): string;
  /** Where the client's set is. */
  fileOf(client: FleetClient): string;
  /** The kids of the set that the server is sent to, in order. */
  served(client: FleetClient): Promise<readonly unknown[]>;
}

/** A fleet whose publish folder is served, and found by the emulator. */
export async function startServedFleet(app: FleetApp, options: FleetOptions = {}): Promise<ServedFleet> {
  let folder = '';
  const origin = await serveFolder(() => folder);
  const fleet = await startFleet({
    apps: [app],
    ...options,
    emulator: { resolve: { [HOST]: origin } },
    config: { publish: { path: './public', base_url: `https://${HOST}` } },
  });
  folder = join(fleet.dir, 'public');
  return {
    ...fleet,
    pathOf: (name) => join(folder, name),
    urlOf: (name) => `https://${HOST}/${name}`,
    fileOf: ({ ref }) => join(folder, ...ref.split('/')),
    async served({ id }) {
      const url = new URL(fleet.emulator.client(DEPLOYMENT, app.slug, id).jwks_uri ?? '');
      if (url.host !== HOST) throw new Error(`the server is sent to ${url}`);
      const set: { keys: { kid: unknown }[] } = JSON.parse(
        await readFile(join(folder, decodeURIComponent(url.pathname)), 'utf8'),
      );
      return set.keys.map(({ kid }) => kid);
    },
  };
}
