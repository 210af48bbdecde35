/** The API over TLS: certificates of callers instead of tokens, and our own that are renewed while it runs. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { caller, makeToken } from '../support/api.ts';
import { type Certified, makeAuthority } from '../support/certificates.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

interface Heard {
  readonly status: number;
  /** Of the certificate that was shown to us. */
  readonly serial: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of a document
  readonly body: any;
}

/** @param agent absent: a connection of its own for each request */
function ask(
  url: string,
  ca: string,
  path: string,
  by: Certified | null,
  authorization?: string,
  agent: Agent | false = false,
): Promise<Heard> {
  const { promise, resolve, reject } = Promise.withResolvers<Heard>();
  const headers = authorization === undefined ? {} : { authorization };
  const asked = request(`${url}${path}`, { ca, agent, headers, ...by }, (answer) => {
    const serial = (answer.socket as TLSSocket).getPeerX509Certificate()?.serialNumber ?? ''; // that is what https has
    let text = '';
    answer.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    answer.on('end', () => resolve({ status: answer.statusCode ?? 0, serial, body: JSON.parse(text) }));
  });
  asked.on('error', reject).end();
  return promise;
}

test('callers show a certificate, or send a token; a renewed certificate of ours is taken up', async () => {
  const [ours, theirs] = [makeAuthority(), makeAuthority()];
  onTestFinished(() => {
    for (const { dir } of [ours, theirs]) rmSync(dir, { recursive: true, force: true });
  });
  const server = ours.issue('server', ['IP:127.0.0.1']);
  const http = {
    listen: '127.0.0.1:0',
    tls: { cert: `file:${server.certFile}`, key: `file:${server.keyFile}`, client_ca: `file:${ours.caFile}` },
    certificates: [
      { name: 'siem.test', scopes: ['read', 'rotate'], only: '185019846023/pem-app' },
      { name: 'spiffe://test/reader', scopes: ['read'] },
    ],
  };
  const fleet = await startFleet({ apps: [PEM_APP], config: { http } });
  const client = await fleet.managed(PEM_APP);
  const text = JSON.stringify(fleet.file);
  writeFileSync(fleet.config.file, text);
  const { url } = await fleet.start({ http: true, source: { text, env: fleet.env } });
  const at = url ?? '';
  expect(at).toMatch(/^https:/);
  const siem = ours.issue('siem', ['DNS:siem.test', 'DNS:other.test']);
  const reader = ours.issue('reader', ['URI:spiffe://test/reader']);
  const stranger = ours.issue('stranger', ['DNS:stranger.test']);
  const forged = theirs.issue('forged', ['DNS:siem.test']);
  for (const [by, status] of [
    [siem, 200],
    [reader, 200],
    [stranger, 401],
    [forged, 401],
    [null, 401],
  ] as const) {
    expect((await ask(at, ours.ca, `/v1/clients/${client.ref}`, by)).status, by?.certFile).toBe(status);
  }
  expect((await ask(at, ours.ca, '/livez', null)).status).toBe(200);
  const value = await makeToken(fleet);
  expect((await ask(at, ours.ca, '/v1/clients', null, `Bearer ${value}`)).status).toBe(200);
  // A token that is wrong is not made good by a certificate.
  expect((await ask(at, ours.ca, '/v1/clients', siem, 'Bearer rekeyd_wrong')).status).toBe(401);
  const refused = (await fleet.audit()).filter(({ type }) => type === 'api.refused');
  expect(refused.map(({ data }) => data.status)).toEqual([401]);

  const before = await ask(at, ours.ca, '/livez', null);
  const next = ours.issue('renewed', ['IP:127.0.0.1']);
  writeFileSync(server.keyFile, next.key);
  writeFileSync(server.certFile, next.cert);
  await until('the new certificate is shown', async () => {
    const { serial, status } = await ask(at, ours.ca, '/livez', null);
    return status === 200 && serial !== before.serial;
  });
  // Another authority speaks for callers: nobody stays who was let in by the one before.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const again = () => ask(at, ours.ca, '/v1/clients', siem, undefined, agent);
  expect((await again()).status).toBe(200);
  writeFileSync(ours.caFile, readFileSync(theirs.caFile));
  await until('the connection that exists is refused', async () => (await again().catch(() => null))?.status === 401);
  // Who is asked for plain HTTP says nothing.
  await expect(caller(at.replace('https:', 'http:'), '')('/livez')).rejects.toThrow();
});
