import { renameSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { type KeyInfo, openSigner } from '../../src/signer/index.ts';
import { contents, sinkKey } from '../deliver/contents.ts';

const audience = 'https://auth.example.com/oauth/token';
let root: string;
let folder: string;
let a: SinkKey;
let b: SinkKey;
let c: SinkKey;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rekeyd-signer-'));
  folder = join(root, '185019846023', 'mcp-auth', '4711');
  [a, b, c] = await Promise.all([sinkKey(), sinkKey(), sinkKey()]);
});

afterEach(() => rm(root, { recursive: true, force: true }));

function deliver(keys: Partial<Pick<SinkContents, 'current' | 'next' | 'previous'>>): Promise<void> {
  return directorySink(root).deliver(contents(keys));
}

describe('an assertion', () => {
  test('is what RFC 7523 section 3 asks for, signed by the current key', async () => {
    await deliver({ current: a, next: b });
    const signer = await openSigner(folder);
    const { assertion, kid, role } = await signer.assertion({ audience, lifetime: 90 });
    expect({ kid, role }).toEqual({ kid: a.kid, role: 'current' });
    expect(decodeProtectedHeader(assertion)).toEqual({ alg: 'ES256', kid: a.kid, typ: 'JWT' });
    const { payload } = await jwtVerify(assertion, await importJWK(a.jwk, 'ES256'), {
      issuer: 'client-4711',
      subject: 'client-4711',
      audience,
      requiredClaims: ['iat', 'exp', 'jti'],
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(90);
    expect(signer.clientId).toBe('client-4711');
  });

  test('takes its times from the clock that it is given, and lives for a minute', async () => {
    await deliver({ current: a });
    const { assertion } = await (await openSigner(folder)).assertion({ audience, clock: () => 1_800_000_000_999 });
    expect(decodeJwt(assertion)).toMatchObject({ iat: 1_800_000_000, exp: 1_800_000_060 });
  });

  test('never has the same jti twice', async () => {
    await deliver({ current: a });
    const signer = await openSigner(folder);
    const made = await Promise.all(Array.from({ length: 20 }, () => signer.assertion({ audience })));
    expect(new Set(made.map(({ assertion }) => decodeJwt(assertion).jti)).size).toBe(20);
  });

  test('is signed by the next key while there is no current one', async () => {
    await deliver({ next: b });
    expect(await (await openSigner(folder)).assertion({ audience })).toMatchObject({ kid: b.kid, role: 'next' });
  });

  test('is not made without a key to sign with', async () => {
    await deliver({ previous: c });
    await expect((await openSigner(folder)).assertion({ audience })).rejects.toMatchObject({ code: 'no_key' });
  });

  test.each([0, -1, 1.5, 301, Number.NaN])('is not made for a lifetime of %d s', async (lifetime) => {
    await deliver({ current: a });
    await expect((await openSigner(folder)).assertion({ audience, lifetime })).rejects.toThrow(RangeError);
  });
});

describe('changes in the folder', () => {
  test('are seen at the next assertion', async () => {
    await deliver({ current: a, next: b });
    const signer = await openSigner(folder);
    expect((await signer.assertion({ audience })).kid).toBe(a.kid);
    await deliver({ current: b, previous: a });
    expect((await signer.assertion({ audience })).kid).toBe(b.kid);
  });

  test('that cannot be read stop no sign-in where the callback for them throws', async () => {
    await deliver({ current: a });
    const warned: string[] = [];
    const hear = (warning: Error) => void warned.push(warning.message);
    process.on('warning', hear);
    onTestFinished(() => void process.off('warning', hear));
    const onReloadError = () => {
      throw new Error('a fault of the application');
    };
    const signer = await openSigner(folder, { reports: false, onReloadError });
    await rename(folder, `${folder}-away`);
    expect((await signer.assertion({ audience })).kid).toBe(a.kid);
    await delay(0);
    expect(warned).toEqual([expect.stringMatching(/callback of the signer has thrown: Error: a fault/)]);
  });

  test('that cannot be read are one warning of the process where there is no callback', async () => {
    await deliver({ current: a });
    const warned: unknown[] = [];
    const hear = (warning: Error) => void warned.push(warning);
    process.on('warning', hear);
    onTestFinished(() => void process.off('warning', hear));
    const signer = await openSigner(folder, { reports: false });
    await rename(folder, `${folder}-away`);
    for (const _ of Array(3)) expect((await signer.assertion({ audience })).kid).toBe(a.kid);
    await delay(0);
    const message = expect.stringContaining(folder);
    expect(warned).toEqual([expect.objectContaining({ name: 'SignerWarning', code: 'folder_unreadable', message })]);
  });

  test('never stop the signing while they go on', async () => {
    await deliver({ current: a });
    const errors: unknown[] = [];
    const signer = await openSigner(folder, { onReloadError: (error) => errors.push(error) });
    let delivering = true;
    const seen = new Set<string>();
    const signing = (async () => {
      while (delivering) seen.add((await signer.assertion({ audience })).kid);
    })();
    for (let round = 0; round < 20; round++)
      await deliver(round % 2 === 0 ? { current: b, previous: a } : { current: a });
    delivering = false;
    await signing;
    expect([...seen].sort()).toEqual([a.kid, b.kid].sort());
    expect(errors).toEqual([]);
    // It would have been told.
    await rename(folder, `${folder}.away`);
    await signer.assertion({ audience });
    expect(errors).toHaveLength(1);
  });

  test('work in a plain folder too, as a secret mount gives it', async () => {
    await deliver({ current: a });
    const meta = await readFile(join(folder, 'meta.json'));
    const jwk = await readFile(join(folder, 'current.jwk.json'));
    const plain = join(root, 'plain');
    await mkdir(plain);
    await writeFile(join(plain, 'current.jwk.json'), jwk);
    await writeFile(join(plain, 'meta.json'), meta);
    expect((await (await openSigner(plain)).assertion({ audience })).kid).toBe(a.kid);
  });

  test('may come with a moment in which the path is missing, as when a folder of version 0.1 is replaced', async () => {
    await deliver({ current: a });
    const version = join(root, 'version');
    await rename(await realpath(join(folder, '..data')), version);
    await rm(folder, { recursive: true });
    await symlink(version, folder);
    const errors: unknown[] = [];
    const signer = await openSigner(folder, { onReloadError: (error) => errors.push(error) });
    /** Its timer began before those of the signer, which take longer: it ends before them on any machine. */
    const missingFor = async <T>(ms: number, work: () => Promise<T>): Promise<T> => {
      renameSync(folder, `${folder}.away`);
      const [done] = await Promise.all([work(), delay(ms).then(() => renameSync(`${folder}.away`, folder))]);
      return done;
    };
    expect((await missingFor(10, () => signer.assertion({ audience }))).kid).toBe(a.kid);
    const opened = await missingFor(30, () => openSigner(folder));
    expect((await opened.assertion({ audience })).kid).toBe(a.kid);
    await rm(folder);
    await deliver({ current: b, previous: a });
    expect((await signer.assertion({ audience })).kid).toBe(b.kid);
    expect(errors).toEqual([]);
  });

  test('that cannot be read leave the signer with the keys it has, and are reported', async () => {
    await deliver({ current: a });
    const errors: unknown[] = [];
    const signer = await openSigner(folder, { onReloadError: (error) => errors.push(error) });
    await rename(folder, `${folder}.away`);
    expect((await signer.assertion({ audience })).kid).toBe(a.kid);
    expect(errors).toHaveLength(1);
  });
});

test.each([
  ['there is no folder', async () => {}],
  ['the set is damaged', async () => writeFile(join(folder, 'current.jwk.json'), '{')],
  [
    'the key is not the one that meta.json names',
    async () => copyFile(join(folder, 'next.jwk.json'), join(folder, 'current.jwk.json')),
  ],
])('a signer does not open when %s', async (what, damage) => {
  if (what !== 'there is no folder') await deliver({ current: a, next: b });
  await damage();
  await expect(openSigner(folder)).rejects.toMatchObject({
    code: 'folder_unreadable',
    message: expect.stringContaining(folder),
  });
});

test.each<[string, (jwk: Record<string, unknown>) => string]>([
  ['text after its end', (jwk) => `${JSON.stringify(jwk)}}`],
  ['a private member that is none', (jwk) => JSON.stringify({ ...jwk, d: [jwk.d] })],
  ['a private member in the wrong place', (jwk) => JSON.stringify({ ...jwk, kty: jwk.d })],
  ['an alg that the key cannot sign', (jwk) => JSON.stringify({ ...jwk, alg: 'RS256' })],
  ['an alg that is none', (jwk) => JSON.stringify({ ...jwk, alg: 'none' })],
])('a signer does not open on a key with %s, and nothing of the error shows the key', async (_, damage) => {
  await deliver({ current: a });
  const file = join(folder, 'current.jwk.json');
  const jwk = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, damage(jwk));
  const error = await openSigner(folder).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'folder_unreadable' });
  expect(inspect(new Error(`planted: ${jwk.d}`), { depth: 9 })).toContain(jwk.d.slice(0, 8));
  for (let at = 0; at + 8 <= jwk.d.length; at += 8) {
    expect(inspect(error, { depth: 9 })).not.toContain(jwk.d.slice(at, at + 8));
  }
});

describe('a login', () => {
  let server: Server;
  let url: string;
  /** What the server makes of each assertion. */
  let judge: (kid: string) => { status: number; body: unknown };
  let received: { kid: string; jti: string }[];

  beforeEach(async () => {
    received = [];
    server = createServer(async (request, response) => {
      let assertion = '';
      for await (const chunk of request) assertion += chunk;
      const kid = decodeProtectedHeader(assertion).kid ?? '';
      received.push({ kid, jti: decodeJwt(assertion).jti ?? '' });
      const { status, body } = judge(kid);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`; // listening on TCP: it has such an address
  });

  afterEach(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));

  async function login(): Promise<{ status: number; body: unknown; roles: string[] }> {
    const infos: KeyInfo[] = [];
    const signer = await openSigner(folder);
    const response = await signer.authenticate(
      (assertion, info) => {
        infos.push(info);
        return fetch(url, { method: 'POST', body: assertion });
      },
      { audience },
    );
    return { status: response.status, body: await response.json(), roles: infos.map(({ role }) => role) };
  }

  const accepts = (key: SinkKey, refusal: { status: number; body: unknown }) => (kid: string) =>
    kid === key.kid ? { status: 200, body: { active: false } } : refusal;
  const badSignature = {
    status: 400,
    body: { error: 'invalid_request', error_description: 'Invalid token: InvalidSignature' },
  };
  const invalidClient = { status: 401, body: { error: 'invalid_client' } };

  test('takes one request while the current key is good', async () => {
    await deliver({ current: a, next: b, previous: c });
    judge = accepts(a, badSignature);
    expect(await login()).toEqual({ status: 200, body: { active: false }, roles: ['current'] });
  });

  test.each([
    ['400 invalid_request', badSignature],
    ['401', invalidClient],
    ['400 invalid_client', { status: 400, body: { error: 'invalid_client' } }],
    ['400 without a reason', { status: 400, body: 'nope' }],
  ])('refused with %s is tried once more with the next key and a fresh jti', async (_what, refusal) => {
    await deliver({ current: a, next: b, previous: c });
    judge = accepts(b, refusal);
    expect(await login()).toMatchObject({ status: 200, roles: ['current', 'next'] });
    expect(received.map(({ kid }) => kid)).toEqual([a.kid, b.kid]);
    expect(received[0]?.jti).not.toBe(received[1]?.jti);
  });

  test('is tried with the previous key when there is no next one', async () => {
    await deliver({ current: b, previous: a });
    judge = accepts(a, invalidClient);
    expect(await login()).toMatchObject({ status: 200, roles: ['current', 'previous'] });
  });

  test('is tried twice at most, and the last refusal can be read', async () => {
    await deliver({ current: a, next: b, previous: c });
    judge = accepts(c, badSignature);
    expect(await login()).toEqual({ ...badSignature, roles: ['current', 'next'] });
  });

  test('is not the first choice until the folder changes, and no reason to forget the others', async () => {
    await deliver({ current: a, next: b });
    const signer = await openSigner(folder);
    let accepted = b;
    const roles: string[] = [];
    const signIn = () =>
      signer.authenticate(
        async (_assertion, { kid, role }) => {
          roles.push(role);
          return kid === accepted.kid ? { status: 200 } : { status: 400, error: 'invalid_request' };
        },
        { audience },
      );
    await signIn();
    await signIn();
    expect(roles.splice(0)).toEqual(['current', 'next', 'next']);
    // Another one takes its place; the server has yet to hear of it, and then does.
    await deliver({ current: a, next: c, previous: b });
    await signIn();
    accepted = c;
    await signIn();
    await signIn();
    expect(roles.splice(0)).toEqual(['previous', 'previous', 'next', 'next']);
    await deliver({ current: c, previous: a });
    await signIn();
    expect(roles.splice(0)).toEqual(['current']);
  });

  test('accepted once and refused later leaves the first choice to the current key', async () => {
    await deliver({ current: a, next: b, previous: c });
    const signer = await openSigner(folder);
    let accepted = b;
    const signIn = () =>
      signer.authenticate(async (_assertion, { kid }) => ({ status: kid === accepted.kid ? 200 : 401, kid }), {
        audience,
      });
    expect(await signIn()).toEqual({ status: 200, kid: b.kid });
    accepted = a;
    expect((await signIn()).status).toBe(401);
    expect(await signIn()).toEqual({ status: 200, kid: a.kid });
  });

  test('is not repeated when there is no other key', async () => {
    await deliver({ current: a });
    judge = () => badSignature;
    expect(await login()).toEqual({ ...badSignature, roles: ['current'] });
  });

  test.each([
    [400, { error: 'invalid_grant' }],
    [403, { error: 'access_denied' }],
    [429, {}],
    [500, { error: 'server_error' }],
  ])('answered with %d %j is not about the key and is not repeated', async (status, body) => {
    await deliver({ current: a, next: b });
    judge = () => ({ status, body });
    expect(await login()).toEqual({ status, body, roles: ['current'] });
  });

  test('refused because the keys have just changed goes on with the new current key', async () => {
    await deliver({ current: a });
    const signer = await openSigner(folder);
    const roles: string[] = [];
    const answer = await signer.authenticate(
      async (assertion, { kid, role }) => {
        roles.push(role);
        if (roles.length === 1) await deliver({ current: b, next: c, previous: a });
        expect(decodeProtectedHeader(assertion).kid).toBe(kid);
        return kid === b.kid ? { status: 200 } : { status: 400, error: 'invalid_request' };
      },
      { audience },
    );
    expect(answer).toEqual({ status: 200 });
    expect(roles).toEqual(['current', 'current']);
  });

  test('whose request fails on the way is not repeated', async () => {
    await deliver({ current: a, next: b });
    const signer = await openSigner(folder);
    let sent = 0;
    const login = signer.authenticate(
      () => {
        sent++;
        return Promise.reject(new Error('connection reset'));
      },
      { audience },
    );
    await expect(login).rejects.toThrow('connection reset');
    expect(sent).toBe(1);
  });
});
