/**
 * A service that fetches a token and calls an API with it, until it is told to stop.
 *
 *   KEYS=/var/lib/rekeyd/keys/185019846023/mcp-auth/4711 TOKEN_URL=https://auth.example.com/oauth/token API_URL=https://api.example.com/ node service.ts
 *
 * Prints how often it called, and what failed. A real service would keep a token until it expires; this one fetches one for each call.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_ASSERTION_TYPE, openSigner } from 'rekeyd/signer';

const { KEYS = '', TOKEN_URL = '', API_URL = '', AUDIENCE = TOKEN_URL, EVERY_S = '1' } = process.env;

const TIMEOUT_MS = 30_000;

const signer = await openSigner(KEYS);

async function fetchToken(): Promise<string> {
  const send = (assertion: string) =>
    fetch(TOKEN_URL, {
      method: 'POST',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: signer.clientId,
        client_assertion_type: CLIENT_ASSERTION_TYPE,
        client_assertion: assertion,
      }),
    });
  // Sends it once more with the other key where the server is a step ahead of the folder.
  const answer = await signer.authenticate(send, { audience: AUDIENCE });
  if (!answer.ok) throw new Error(`the token endpoint answered ${answer.status}: ${await answer.text()}`);
  const { access_token: token } = await answer.json();
  if (typeof token !== 'string' || token === '') throw new Error('the token endpoint answered without an access_token');
  return token;
}

async function callApi(): Promise<void> {
  const headers = { authorization: `Bearer ${await fetchToken()}` };
  const answer = await fetch(API_URL, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`the API answered ${answer.status}`);
}

const stopping = new AbortController();
const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]).then(() => stopping.abort());

let calls = 0;
const failures: string[] = [];
while (!stopping.signal.aborted) {
  calls += 1;
  await callApi().catch((error: unknown) => failures.push(String(error)));
  await sleep(Number(EVERY_S) * 1000, undefined, { signal: stopping.signal }).catch(() => {});
}
await stopped;
await signer.close();
process.stdout.write(`${JSON.stringify({ calls, failures })}\n`);
