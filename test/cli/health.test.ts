/** `rekeyd health` finds the worker wherever its config says that it listens. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { health } from '../../src/commands/health.ts';
import { Secret } from '../../src/config/secret.ts';
import { startHttp } from '../../src/http/server.ts';
import { createLog } from '../../src/runtime/log.ts';
import { certificateFor } from '../support/certificates.ts';

const ANYWHERE = { host: '127.0.0.1', port: 0 };
const log = createLog({ level: 'silent' });

async function listening(isTls: boolean, hasPublic: boolean): Promise<{ listen: string; open: string }> {
  const { cert, key } = certificateFor('DNS:api.example.com');
  const tls = isTls ? { cert: new Secret(cert), key: new Secret(key), clientCa: null } : null;
  const config = { listen: ANYWHERE, publicListen: hasPublic ? ANYWHERE : null, tls };
  const server = await startHttp({ config, ready: async () => null, log });
  onTestFinished(() => server.close());
  return { listen: new URL(server.url).host, open: new URL(server.publicUrl).host };
}

test.each([
  ['plain', false, false],
  ['TLS, with a certificate for another name', true, false],
  ['a public listener beside TLS', true, true],
])('over %s', async (_, isTls, hasPublic) => {
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-health-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const { listen, open } = await listening(isTls, hasPublic);
  const file = join(dir, 'rekeyd.yaml');
  const write = (port?: string) => {
    const http = { listen: port ?? listen, ...(hasPublic && { public: port ?? open }), ...(isTls && { tls: {} }) };
    writeFileSync(file, JSON.stringify({ http }));
  };
  const globals = { file, env: {}, exit: () => {} };
  write();
  expect(await health(globals as never)).toBe(0); // it exits by nothing here
  write('127.0.0.1:1');
  expect(await health(globals as never)).toBe(1); // as above
});

test('a config that cannot be unfolded is a config problem, and no crash', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-health-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'rekeyd.yaml');
  writeFileSync(file, `a: &a x\nb: [${'*a,'.repeat(1_000)}*a]`);
  await expect(health({ file, env: {}, exit: () => {} })).rejects.toMatchObject({ code: 'config' });
});
