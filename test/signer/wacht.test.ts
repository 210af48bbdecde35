/** The signer against a local Wacht, as the real server is: one key at a time, and strict about clocks and audiences. */
import { createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { openSigner, type SignerOptions, signingFetch } from '../../src/signer/index.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { DEPLOYMENT, HOSTS, startTestEmulator } from '../emulator/testing.ts';

/** A client whose server takes `key`, with a folder that holds `keys`. @returns signs in once; and what came to the server */
async function start(
  key: SinkKey,
  keys: Partial<Pick<SinkContents, 'current' | 'next' | 'previous'>>,
  options: SignerOptions,
) {
  const emulator = await startTestEmulator();
  onTestFinished(() => emulator.close());
  const root = await mkdtemp(join(tmpdir(), 'rekeyd-wacht-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const pem = createPublicKey(key.privateKey.keyObject());
  const client = emulator.addClient({
    deployment: DEPLOYMENT,
    app: 'app',
    public_key_pem: pem.export({ type: 'spki', format: 'pem' }).toString(),
    alg: 'ES256',
  });
  await directorySink(root).deliver(contents(keys, { clientId: client.client_id }));
  const signer = await openSigner(join(root, '185019846023', 'mcp-auth', '4711'), options);
  onTestFinished(() => signer.close());
  const send = signingFetch(signer, { audience: (url) => url.replace(emulator.url, `https://${HOSTS.app}`) });
  return {
    async signIn(path = '/oauth/introspect'): Promise<number> {
      const headers = { 'x-forwarded-host': HOSTS.app };
      const body = new URLSearchParams({ token: 'made-up' });
      return (await send(`${emulator.url}${path}`, { method: 'POST', headers, body })).status;
    },
    verdicts: () => emulator.log.flatMap((entry) => ('verdict' in entry ? [entry.verdict] : [])),
  };
}

test.each([
  ['ahead of', 600_000],
  ['behind', -600_000],
])('a clock that is ten minutes %s the server’s is told, and no reason to try another key', async (where, offMs) => {
  const [a, b] = await Promise.all([sinkKey(), sinkKey()]);
  const told: unknown[] = [];
  const onClockError = (error: unknown) => void told.push(error);
  const { signIn, verdicts } = await start(
    a,
    { current: a, next: b },
    { clock: () => Date.now() + offMs, onClockError },
  );
  expect([await signIn(), await signIn()]).toEqual([200, 200]);
  expect(verdicts()).toEqual([expect.not.stringMatching('accepted'), 'accepted', 'accepted']);
  expect(told).toMatchObject([{ code: 'clock', message: expect.stringContaining(`10 min ${where} the server’s`) }]);
});

test('a clock that is nine seconds ahead takes one request, also with the longest lifetime', async () => {
  const a = await sinkKey();
  const { signIn, verdicts } = await start(a, { current: a }, { clock: () => Date.now() + 9_000 });
  expect(await signIn()).toBe(200);
  expect(verdicts()).toEqual(['accepted']);
});

test('the audience is the endpoint of each request, and the other key is tried once', async () => {
  const [a, b] = await Promise.all([sinkKey(), sinkKey()]);
  const { signIn, verdicts } = await start(b, { current: a, next: b }, {});
  expect([await signIn(), await signIn('/oauth/revoke')]).toEqual([200, 200]);
  expect(verdicts()).toEqual([expect.not.stringMatching('accepted'), 'accepted', 'accepted']);
});
