/** Reports that scanners sign: whose they are. */
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openScannerKeys } from '../../src/leaks/scanner-keys.ts';
import { checkSignature, type ScannerTrust, scannerOf } from '../../src/leaks/signatures.ts';

const BODY = Buffer.from('[{"token":"x","type":"rekeyd","url":"https://github.com/octocat/x","source":"content"}]');
const SECRET = { reveal: () => 'a webhook secret' };
const NOW = Date.parse('2026-11-27T08:00:00Z');

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

let answers: { status: number; body: string };
let asked = 0;
let trust: ScannerTrust;
let time = 0;
const server = createServer((_request, response) => {
  asked += 1;
  response.writeHead(answers.status, { 'content-type': 'application/json' }).end(answers.body);
});

function listing(keys: Readonly<Record<string, typeof ec.publicKey>>): string {
  const listed = Object.entries(keys).map(([key_identifier, key]) => ({
    key_identifier,
    key: key.export({ type: 'spki', format: 'pem' }).toString(),
    is_current: true,
  }));
  return JSON.stringify({ public_keys: listed });
}

beforeEach(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  const place = { keysUrl: `http://127.0.0.1:${port}/meta/public_keys`, route: { proxy: null, authorities: [] } };
  trust = { github: place, gitlab: place, gitguardian: { secret: SECRET } };
  answers = { status: 200, body: listing({ first: ec.publicKey, rsa: rsa.publicKey }) };
  [asked, time] = [0, 0];
});
afterEach(() => new Promise((resolve) => server.close(resolve)));

function signedBy(scanner: 'github' | 'gitlab', key = ec.privateKey, identifier = 'first', body = BODY) {
  return {
    [`${scanner}-public-key-identifier`]: identifier,
    [`${scanner}-public-key-signature`]: sign('sha256', body, key).toString('base64'),
  };
}

function guarded(timestamp: string, secret = SECRET.reveal(), body = BODY) {
  const digest = createHmac('sha256', timestamp + secret)
    .update(body)
    .digest('hex');
  return { 'gitguardian-signature': `sha256=${digest}`, timestamp };
}

async function check(headers: Record<string, string>, keys = openScannerKeys(() => time), body: Buffer = BODY) {
  const scanner = scannerOf(headers);
  if (scanner === null) throw new Error('nobody signs that');
  return (await checkSignature(scanner, { headers, body, now: NOW }, trust, keys)).is;
}

describe('what a scanner signed is its own', () => {
  test.each<[string, Record<string, string>]>([
    ['GitHub', signedBy('github')],
    ['GitLab', signedBy('gitlab')],
    ['GitLab, with RSA', signedBy('gitlab', rsa.privateKey, 'rsa')],
    ['GitGuardian', guarded(`${NOW / 1000 - 200}`)],
    ['GitGuardian, with a date', guarded('2026-11-27T08:01:00Z')],
  ])('%s', async (_, headers) => {
    expect(await check(headers)).toBe('valid');
  });
});

describe('refused is', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  test.each<[string, Record<string, string>]>([
    ['another body', signedBy('github', ec.privateKey, 'first', Buffer.from('[]'))],
    ['another key', signedBy('github', other)],
    ['the key of another identifier', signedBy('github', ec.privateKey, 'rsa')],
    ['an identifier that nobody has', signedBy('github', ec.privateKey, 'made up')],
    ['no identifier', { 'github-public-key-signature': 'x' }],
    ['a signature that is none', { ...signedBy('gitlab'), 'gitlab-public-key-signature': '%%%' }],
    ['an HMAC of another secret', guarded(`${NOW / 1000}`, 'another')],
    ['an HMAC of another body', guarded(`${NOW / 1000}`, SECRET.reveal(), Buffer.from('{}'))],
    ['an HMAC of another time', { ...guarded(`${NOW / 1000}`), timestamp: `${NOW / 1000 + 1}` }],
    ['an HMAC that is cut off', { 'gitguardian-signature': 'sha256=00', timestamp: `${NOW / 1000}` }],
    ['one of another hash', { 'gitguardian-signature': 'md5=00', timestamp: `${NOW / 1000}` }],
    ['one that is sent again later', guarded(`${NOW / 1000 - 301}`)],
    ['one without a time', guarded('soon')],
  ])('%s', async (_, headers) => {
    expect(await check(headers)).toBe('refused');
  });

  test('what the config does not name', async () => {
    trust = { github: null, gitlab: null, gitguardian: null };
    for (const headers of [signedBy('github'), signedBy('gitlab'), guarded(`${NOW / 1000}`)]) {
      expect(await check(headers)).toBe('refused');
    }
    expect(asked).toBe(0);
  });
});

test('nobody signs a report without a signature', () => {
  expect(scannerOf({ 'github-public-key-identifier': 'first', timestamp: '1' })).toBeNull();
});

describe('the keys of a scanner', () => {
  test('are read once for many reports, and again for a new one, but not for each that is made up', async () => {
    const keys = openScannerKeys(() => time);
    for (let count = 0; count < 3; count += 1) expect(await check(signedBy('github'), keys)).toBe('valid');
    for (let count = 0; count < 3; count += 1)
      expect(await check(signedBy('github', rsa.privateKey, 'new'), keys)).toBe('refused');
    expect(asked).toBe(1);
    answers.body = listing({ new: rsa.publicKey });
    time += 61_000;
    expect(await check(signedBy('github', rsa.privateKey, 'new'), keys)).toBe('valid');
    expect(await check(signedBy('github'), keys), 'one that was taken back').toBe('refused');
    expect(asked).toBe(2);
  });

  test('that cannot be read say nothing of a report, nor against those that were read before', async () => {
    const keys = openScannerKeys(() => time);
    for (const broken of [
      { status: 500, body: '' },
      { status: 200, body: '<html>' },
    ]) {
      const { body } = answers;
      answers = broken;
      expect(await check(signedBy('github'), keys)).toBe('unknown');
      answers = { status: 200, body };
      expect(await check(signedBy('github'), keys), 'nobody asks again at once').toBe('unknown');
      time += 61_000;
    }
    expect(asked).toBe(2);
    expect(await check(signedBy('github'), keys)).toBe('valid');
    answers = { status: 500, body: '' };
    time += 61_000;
    expect(await check(signedBy('github', rsa.privateKey, 'new'), keys)).toBe('unknown');
    const before = asked;
    for (const madeUp of ['a', 'b', 'c']) {
      expect(await check(signedBy('github', rsa.privateKey, madeUp), keys)).toBe('refused');
    }
    expect(asked, 'nobody asks again at once here, too').toBe(before);
    expect(await check(signedBy('github'), keys)).toBe('valid');
  });
});
