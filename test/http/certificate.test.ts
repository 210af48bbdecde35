/** Client certificates: how long a stream that began with one may last. */
import { rmSync } from 'node:fs';
import { createServer, get } from 'node:https';
import type { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { CertificateConfig } from '../../src/config/model.ts';
import { certificatePrincipal } from '../../src/http/certificate.ts';
import { makeAuthority } from '../support/certificates.ts';
import { listening } from '../support/listening.ts';

const RULE: CertificateConfig = { name: 'siem.test', scopes: ['read'], only: 'dep/app' };

test('while the config has the same rule, also when it was read again, and no longer', async () => {
  const { ca, dir, issue } = makeAuthority();
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const [own, caller] = [issue('server', ['IP:127.0.0.1']), issue('siem', ['DNS:siem.test'])];
  const called = Promise.withResolvers<Socket>();
  const options = { cert: own.cert, key: own.key, ca, requestCert: true, rejectUnauthorized: false };
  const port = await listening(createServer(options, ({ socket }) => called.resolve(socket)));
  const asked = get({ host: '127.0.0.1', port, ca, cert: caller.cert, key: caller.key });
  asked.on('error', () => {}); // it is cut off with the test

  let rules: readonly CertificateConfig[] = [RULE];
  const principal = certificatePrincipal(await called.promise, () => rules);
  expect(principal).toMatchObject({ claimedBy: 'certificate:siem.test', scopes: ['read'], only: 'dep/app' });
  for (const [next, isValid] of [
    [[{ name: 'other.test', scopes: ['read'], only: null }, structuredClone(RULE)], true],
    [[{ ...RULE, only: 'dep/other' }], false],
    [[{ ...RULE, scopes: ['metrics'] }], false],
    [[], false],
    [[RULE], true],
  ] as const) {
    rules = next;
    expect(await principal?.isValid(), JSON.stringify(next)).toBe(isValid);
  }
});
