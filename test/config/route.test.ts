/** `proxy` and `ca`: how the API and the issuers are connected to. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problems.ts';
import { type Certified, certificateFor } from '../support/certificates.ts';
import { app, env, folder, inDeployment, refusal, useFolder } from './write.ts';

useFolder();

let first: Certified;
let second: Certified;
beforeAll(async () => {
  [first, second] = [certificateFor('DNS:a.example.com'), certificateFor('DNS:b.example.com')];
  await writeFile(join(folder, 'first.pem'), first.cert);
  await writeFile(join(folder, 'both.pem'), `# two of them\n${first.cert}\n${second.cert}`);
  await writeFile(join(folder, 'broken.pem'), first.cert.replace(/[A-Za-z0-9]{20}/, 'A'.repeat(20)));
  await writeFile(join(folder, 'key.pem'), first.key);
  await writeFile(join(folder, 'proxy'), 'http://me:pa%3Ass@proxy.example.com:3128\n');
});

async function deploymentOf(over: Record<string, unknown>, more: Record<string, string> = {}) {
  const file = join(folder, 'rekeyd.yaml');
  const { deployments } = await parseConfig(inDeployment(over), { file, env: { ...env, ...more } });
  const [deployment] = deployments;
  if (deployment === undefined) throw new Error('there is no deployment');
  return deployment;
}

async function proxyOf(over: Record<string, unknown>, more: Record<string, string> = {}) {
  const { route, apps } = await deploymentOf(over, more);
  expect(apps[0]?.route.proxy).toEqual(route.proxy);
  return route.proxy === null ? null : [route.proxy.url.reveal(), route.proxy.noProxy];
}

test.each<[string, Record<string, unknown>, Record<string, string>, readonly string[] | null]>([
  ['nothing, and nothing in the environment', {}, {}, null],
  ['nothing, with HTTPS_PROXY', {}, { HTTPS_PROXY: 'http://p:1' }, ['http://p:1/', '']],
  ['env', { proxy: 'env' }, { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a,.b' }, ['http://p:1/', 'a,.b']],
  ['small letters first', {}, { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://q:1' }, ['http://q:1/', '']],
  ['small letters that are empty', {}, { HTTPS_PROXY: 'http://p:1', https_proxy: '' }, null],
  ['a proxy for http only', {}, { HTTP_PROXY: 'http://p:1' }, null],
  ['one without a scheme', {}, { HTTPS_PROXY: 'p.example.com:3128' }, ['http://p.example.com:3128/', '']],
  ['none', { proxy: 'none' }, { HTTPS_PROXY: 'http://p:1' }, null],
  ['a URL', { proxy: 'https://p:1' }, { HTTPS_PROXY: 'http://q:1', NO_PROXY: '*' }, ['https://p:1/', '']],
  ['a variable', { proxy: 'env:MINE' }, { MINE: 'http://a:b@p:1' }, ['http://a:b@p:1/', '']],
  ['a file', { proxy: 'file:proxy' }, {}, ['http://me:pa%3Ass@proxy.example.com:3128/', '']],
])('proxy: %s', async (_, over, more, proxy) => {
  expect(await proxyOf(over, more)).toEqual(proxy);
});

test.each([
  ['a password in the config', { proxy: 'http://me:secret@p:1' }, 'must not hold a user or password'],
  ['another kind of proxy', { proxy: 'socks5://p:1' }, 'is not a proxy: write env, none, a URL'],
  ['a path', { proxy: 'http://p:1/x' }, 'is not a proxy'],
  ['a slip', { proxy: 'environment' }, 'is not a proxy'],
  ['a variable that is not set', { proxy: 'env:NOWHERE' }, 'NOWHERE is not set'],
  ['a variable with something else', { proxy: 'env:BLANKS' }, 'leads to what is not the URL of a proxy'],
  ['a file that is not there', { ca: 'file:nowhere.pem' }, 'does not exist'],
  ['a private key', { ca: 'file:key.pem' }, 'leads to a file without a certificate'],
  ['a broken certificate', { ca: 'file:broken.pem' }, 'or with one that cannot be read'],
  ['certificates in the config', { ca: '-----BEGIN CERTIFICATE-----' }, 'is not a file reference'],
  ['the same in an app', { apps: [app({ ca: 'file:key.pem' })] }, 'leads to a file without a certificate'],
])('%s is refused', async (_, over, message) => {
  const refused = await refusal(inDeployment(over));
  expect(refused.message).toContain(message);
  expect(refused.message).not.toContain('secret');
});

test('a variable of the environment that is no proxy is named, and not repeated', async () => {
  const refused = await deploymentOf({}, { HTTPS_PROXY: 'ftp://me:hidden@p:1' }).catch((error: unknown) => error);
  if (!(refused instanceof ConfigError)) return expect.unreachable();
  expect(refused.message).toMatch(/deployments\[0\].*HTTPS_PROXY is not the URL of a proxy: .* or set proxy: none/);
  expect(refused.message).not.toContain('hidden');
});

test('an issuer is trusted by the authorities of its app and of its deployment, and nobody is warned of files that are public', async () => {
  const apps = [app({ ca: 'file:both.pem' }), app({ slug: 'other' })];
  const { route, apps: read } = await deploymentOf({ ca: 'file:first.pem', apps });
  const [one, two] = [first.cert.trim(), second.cert.trim()];
  expect(route.authorities).toEqual([one]);
  expect(read.map((each) => each.route.authorities)).toEqual([[one, one, two], [one]]);
  const config = await parseConfig(inDeployment({ ca: 'file:first.pem' }), { file: join(folder, 'rekeyd.yaml'), env });
  expect([config.secretFiles, config.watchedFiles]).toEqual([[], [join(folder, 'first.pem')]]);
});
