/** What the tests of faults share: before each of them a new emulator with one client that is called `old`, and a PATCH that calls it `new`. */
import { afterEach, beforeEach } from 'vitest';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import { DEPLOYMENT, makeKey, manage, startTestEmulator } from './testing.ts';

const APP = 'pem-app';
const { pem } = makeKey('ES256');

export function setUpRenaming() {
  let emulator: Emulator;
  let client: StoredClient;
  const newClient = () =>
    emulator.addClient({ deployment: DEPLOYMENT, app: APP, public_key_pem: pem, client_name: 'old' });
  beforeEach(async () => {
    emulator = await startTestEmulator({ admin: true });
    client = newClient();
  });
  afterEach(() => emulator.close());
  return {
    get emulator() {
      return emulator;
    },
    get client() {
      return client;
    },
    newClient,
    rename: (id = client.id) => manage(emulator, 'PATCH', `/${APP}/clients/${id}`, { body: { client_name: 'new' } }),
    storedName: () => emulator.client(DEPLOYMENT, APP, client.id).client_name,
  };
}
