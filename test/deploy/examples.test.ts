/** The examples of services in clients/, as programs of their own, while the keys that they sign with are rotated. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { directorySink } from '../../src/deliver/directory.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { COMPILED } from '../support/compiled.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');
const TOKEN_PATH = '/oauth/token';

interface Domain {
  readonly env: Readonly<Record<string, string>>;
  /** Calls of the API that brought a token. */
  readonly called: () => number;
}

/** The app's own domain: its token endpoint, which is that of the local Wacht, and an API that wants a token. */
async function startDomain({ emulator }: Fleet, { app, folder }: FleetClient): Promise<Domain> {
  const host = `${app.slug}.example.com`;
  let called = 0;
  const server = createServer(async (request, response) => {
    if (request.url !== TOKEN_PATH) {
      const isWelcome = request.headers.authorization?.startsWith('Bearer ') === true;
      if (isWelcome) called += 1;
      response.writeHead(isWelcome ? 200 : 401).end();
      return;
    }
    const headers = { 'content-type': request.headers['content-type'] ?? '', 'x-forwarded-host': host };
    const body = await buffer(request);
    const answer = await fetch(`${emulator.url}${TOKEN_PATH}`, { method: 'POST', headers, body });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is an object
  const env = { KEYS: folder, TOKEN_URL: `${origin}${TOKEN_PATH}`, API_URL: origin };
  return { env: { ...env, AUDIENCE: `https://${host}${TOKEN_PATH}`, EVERY_S: '0.05' }, called: () => called };
}

/** A folder in which `rekeyd/signer` can be imported, as where the package is installed. */
async function installed(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-example-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const place = join(folder, 'node_modules/rekeyd');
  await mkdir(place, { recursive: true });
  await symlink(join(ROOT, 'src/signer'), join(place, 'signer'));
  const exported = { name: 'rekeyd', type: 'module', exports: { './signer': './signer/index.ts' } };
  await writeFile(join(place, 'package.json'), JSON.stringify(exported));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await symlink(join(ROOT, 'clients/node/example/service.ts'), join(folder, 'service.ts'));
  return folder;
}

test('the Node service signs in while its key is rotated, and enrols its client', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP, { enroll: false });
  await fleet.start();
  const { env, called } = await startDomain(fleet, client);
  const folder = await installed();
  const service = spawn(process.execPath, ['--preserve-symlinks-main', 'service.ts'], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...COMPILED, ...env },
  });
  onTestFinished(() => void service.kill('SIGKILL'));
  const [out, said] = [text(service.stdout), text(service.stderr)];
  const more = async (count: number) => {
    const goal = called() + count;
    await until(`${count} calls more`, (saw) => {
      if (service.exitCode !== null) throw new Error('the service has ended');
      return saw(called()) >= goal;
    });
  };
  await more(1);
  await until('its reports enrol the client', async () => (await fleet.record(client)).enrolment === 'enrolled');
  await fleet.reached(client, await fleet.rotate(client));
  await more(3);
  service.kill('SIGTERM');
  expect(await said).toBe('');
  const { calls, failures } = JSON.parse(await out);
  expect(failures).toEqual([]);
  expect(calls).toBeGreaterThanOrEqual(4);
  const kids = fleet.emulator.log.filter(({ path }) => path === TOKEN_PATH).map(({ presentedKid }) => presentedKid);
  expect(new Set(kids).size).toBe(2);
});

/** What it prints, how it ended, and which files it left behind. */
async function runShell(env: Readonly<Record<string, string>>) {
  const temporary = await mkdtemp(join(tmpdir(), 'rekeyd-token-'));
  onTestFinished(() => rm(temporary, { recursive: true }));
  const script = join(ROOT, 'clients/shell/token.sh');
  const child = spawn('sh', [script], { env: { PATH: process.env.PATH, TMPDIR: temporary, ...env } });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr, left: await readdir(temporary) };
}

const ALGORITHMS: readonly Algorithm[] = ['RS256', 'PS384', 'ES256', 'ES512', 'EdDSA'];

test('the shell script signs in with keys of every kind, and with those that replace them', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const clients = await Promise.all(ALGORITHMS.map((alg) => fleet.managed(KID_APP, { alg })));
  await fleet.start();
  const signIn = async (client: FleetClient) => {
    const { env } = await startDomain(fleet, client);
    const stdout = expect.stringMatching(/^[\da-f-]{36}\n$/);
    expect(await runShell(env)).toEqual({ code: 0, stdout, stderr: '', left: [] });
  };
  await Promise.all(clients.map(signIn));
  await Promise.all(clients.map(async (client) => fleet.reached(client, await fleet.rotate(client))));
  await Promise.all(clients.map(signIn));
  const logins = fleet.emulator.log.filter(({ path }) => path === TOKEN_PATH);
  expect(new Set(logins.map(({ authenticatedKid }) => authenticatedKid)).size).toBe(2 * ALGORITHMS.length);
});

test('the shell script tries again while the server is a step ahead, and then says what the server says', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { env } = await startDomain(fleet, client);
  const refuses = { kind: 'status', status: 401, message: 'invalid_client', match: { path: /oauth\/token/ } } as const;
  fleet.emulator.faults.add({ ...refuses, times: 1 });
  expect(await runShell(env)).toMatchObject({ code: 0, stderr: '' });
  fleet.emulator.faults.add({ ...refuses, status: 503, message: 'maintenance', times: 1 });
  const ended = await runShell(env);
  expect(ended).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/no token: the server answered 503: .*maintenance/),
  });
  expect(fleet.emulator.clients(DEPLOYMENT, PEM_APP.slug)).toHaveLength(1);
});

/** A token endpoint that answers 200 with this text, and the folder of a client's keys. */
async function startAnswering(body: string) {
  const root = await mkdtemp(join(tmpdir(), 'rekeyd-example-'));
  onTestFinished(() => rm(root, { recursive: true }));
  await directorySink(root).deliver(contents({ current: await sinkKey() }));
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo; // a TCP server's address is an object
  const folder = join(root, '185019846023', 'mcp-auth', '4711');
  return { env: { KEYS: folder, TOKEN_URL: `http://127.0.0.1:${port}/` }, requests: () => requests };
}

test.each([
  '<html>Sign in</html>',
  '',
  '{"token_type":"Bearer","refresh_token":"secret"}',
  '{"access_token":null,"refresh_token":"secret"}',
  '{"access_token":"","refresh_token":"secret"}',
  '{"access_token":"a\\/secret"}',
])('the shell script fails on a 200 without a token that it can read, and shows nothing of it: %s', async (body) => {
  const { env } = await startAnswering(body);
  const ended = await runShell(env);
  const stderr = expect.stringMatching(/^no token: the server answered 200 without an access_token.*TOKEN_URL.*\n$/);
  expect(ended).toEqual({ code: 1, stdout: '', stderr, left: [] });
  expect(ended.stderr).not.toContain('secret');
});

test('the shell script reads an answer of several lines', async () => {
  const { env } = await startAnswering(JSON.stringify({ access_token: 'a-._~+/=', token_type: 'Bearer' }, null, 2));
  expect(await runShell(env)).toEqual({ code: 0, stdout: 'a-._~+/=\n', stderr: '', left: [] });
});

test('the Node service says that an answer has no token, and calls no API without one', async () => {
  const { env, requests } = await startAnswering('{"token_type":"Bearer"}');
  const service = spawn(process.execPath, ['--preserve-symlinks-main', 'service.ts'], {
    cwd: await installed(),
    env: { PATH: process.env.PATH, ...COMPILED, ...env, API_URL: 'http://127.0.0.1:1/', EVERY_S: '0.05' },
  });
  onTestFinished(() => void service.kill('SIGKILL'));
  const out = text(service.stdout);
  await until('the second request', (saw) => saw(requests()) >= 2);
  service.kill('SIGTERM');
  const { failures } = JSON.parse(await out);
  expect(new Set(failures)).toEqual(new Set(['Error: the token endpoint answered without an access_token']));
});

test('the shell script sends nothing when it cannot sign', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-example-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, '..data'));
  const write = (meta: object) => writeFile(join(folder, '..data/meta.json'), JSON.stringify(meta, null, 2));
  // Nothing listens there: a request would end the script with another code.
  const env = { KEYS: folder, TOKEN_URL: 'http://127.0.0.1:1/' };
  await write({ client_id: 'client-4711', alg: 'none', current: 'A' });
  expect(await runShell(env)).toEqual({ code: 2, stdout: '', stderr: expect.stringContaining('alg none'), left: [] });
  await write({ client_id: 'client-4711', alg: 'ES256', current: 'A' });
  expect(await runShell(env)).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot sign with'), left: [] });
});
