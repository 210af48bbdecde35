/** The way to a server: proxies, authorities, addresses that change. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { isIP, type LookupFunction } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Exchange, exchange } from '../../src/net/exchange.ts';
import { openPool, type PoolOptions } from '../../src/net/pool.ts';
import { type Certified, certificateFor } from '../support/certificates.ts';
import { startConnectProxy, startSilence, startTls } from '../support/tunnels.ts';
import { until } from '../support/until.ts';
import { deadOrigin, json, serve } from '../wacht/serve.ts';

const HOST = 'api.example.com';

let certificate: Certified;
beforeAll(async () => {
  certificate = certificateFor(`DNS:${HOST}`);
});

function poolOf(origin: string, options: Partial<PoolOptions> = {}) {
  const pool = openPool(origin, { connections: 2, timeoutMs: 20_000, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

const GET: Exchange = {
  method: 'GET',
  path: '/',
  headers: {},
  body: null,
  timeoutMs: 20_000,
  maxBytes: 1024,
  signal: undefined,
  now: Date.now,
};

function through(url: string, noProxy = '') {
  return { url: { reveal: () => url }, noProxy };
}

/** A server behind TLS, for {@link HOST} alone. */
async function server() {
  const { origin, requests } = await serve((_, response) => json(response, 200, {}));
  return { port: await startTls(certificate, origin), requests };
}

/** Where every name leads, as long as these are its addresses. */
function leadingTo(addresses: () => readonly string[]): LookupFunction {
  return (_name, options, done) => {
    const found = addresses().map((address) => ({ address, family: isIP(address) }));
    if (options.all) done(null, found);
    else done(null, found[0]?.address ?? '', found[0]?.family);
  };
}

const here = leadingTo(() => ['127.0.0.1']);

describe('a proxy', () => {
  test('is asked for a tunnel to the server, whose name it alone knows', async () => {
    const { port, requests } = await server();
    const proxy = await startConnectProxy({ hosts: { [HOST]: `http://127.0.0.1:${port}` } });
    const pool = poolOf(`https://${HOST}`, { proxy: through(proxy.url), authorities: [certificate.cert] });
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered', status: 200 });
    expect(proxy.asked).toEqual([`${HOST}:443`]);
    expect(requests.map(({ headers }) => headers.host)).toEqual([HOST]);
  });

  test('gets user and password, and the message on its refusal shows neither', async () => {
    const { port } = await server();
    const proxy = await startConnectProxy({ hosts: { [HOST]: `http://127.0.0.1:${port}` }, login: 'me:pa:ss word' });
    const url = new URL(proxy.url);
    [url.username, url.password] = ['me', 'pa:ss word'];
    const route = { authorities: [certificate.cert] };
    const good = poolOf(`https://${HOST}`, { ...route, proxy: through(url.href) });
    expect(await exchange(good, GET)).toMatchObject({ kind: 'answered' });
    url.password = 'wrong';
    const bad = poolOf(`https://${HOST}`, { ...route, proxy: through(url.href) });
    const { message } = Object(await exchange(bad, GET));
    expect(message).toContain('407');
    expect(message).toContain(`the proxy is ${proxy.url}`);
    expect(message).not.toMatch(/me:|wrong/);
  });

  test('may speak TLS itself, with a certificate of the same authorities', async () => {
    const { port } = await server();
    const plain = await startConnectProxy({ hosts: { [HOST]: `http://127.0.0.1:${port}` } });
    const own = certificateFor('DNS:localhost');
    const url = `https://localhost:${await startTls(own, plain.url)}`;
    const pool = poolOf(`https://${HOST}`, { proxy: through(url), authorities: [certificate.cert, own.cert] });
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered' });
    expect(plain.asked).toEqual([`${HOST}:443`]);
    const stranger = poolOf(`https://${HOST}`, { proxy: through(url), authorities: [certificate.cert] });
    expect(await exchange(stranger, GET)).toMatchObject({ kind: 'lost' });
  });

  test.each([
    ['a host by name', HOST, true],
    ['a domain', '.example.com', true],
    ['everything', '*', true],
    ['others only', 'example.org, api.example.net', false],
  ])('NO_PROXY with %s', async (_, noProxy, isStraight) => {
    const { port } = await server();
    const proxy = await startConnectProxy({ hosts: { [HOST]: `http://127.0.0.1:${port}` } });
    const route = { proxy: through(proxy.url, noProxy), authorities: [certificate.cert] };
    const pool = poolOf(`https://${HOST}:${port}`, { ...route, lookup: here });
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered' });
    expect(proxy.asked).toEqual(isStraight ? [] : [`${HOST}:${port}`]);
    expect(pool.via).toBe(` (the proxy is ${proxy.url}, but not for ${noProxy})`);
  });

  test('is not asked for this machine itself', async () => {
    const proxy = through(await deadOrigin());
    const plain = await serve((_, response) => json(response, 200, {}));
    expect(await exchange(poolOf(plain.origin, { proxy }), GET)).toMatchObject({ kind: 'answered' });
    const local = certificateFor('IP:127.0.0.1');
    const port = await startTls(local, plain.origin);
    const pool = poolOf(`https://127.0.0.1:${port}`, { proxy, authorities: [local.cert] });
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered' });
  });

  test('that is away, does not know the server or never answers is named, and keeps nothing open', async () => {
    const [dead, silent] = [await deadOrigin(), await startSilence()];
    const { url } = await startConnectProxy({ hosts: {} });
    for (const [proxy, why] of [
      [dead, 'ECONNREFUSED'],
      [url, '502'],
      [silent, 'no complete answer within 300 ms'],
    ] as const) {
      const pool = openPool(`https://${HOST}`, { connections: 2, timeoutMs: 300, proxy: through(proxy) });
      const { message } = Object(await exchange(pool, { ...GET, timeoutMs: 300 }));
      expect(message).toContain(why);
      expect(message).toContain(`the proxy is ${proxy}`);
      await pool.close();
    }
  });
});

describe('authorities', () => {
  test('are trusted beside those that Node trusts, and by nobody else', async () => {
    const other = certificateFor(`DNS:${HOST}`);
    const [own, known] = [await server(), await startTls(other, (await serve((_, to) => json(to, 200, {}))).origin)];
    const before = getCACertificates('default');
    onTestFinished(() => setDefaultCACertificates(before));
    setDefaultCACertificates([...before, other.cert]);
    const answers = async (port: number, authorities: readonly string[]) =>
      exchange(poolOf(`https://${HOST}:${port}`, { lookup: here, authorities }), GET);
    expect(await answers(own.port, [certificate.cert])).toMatchObject({ kind: 'answered' });
    expect(await answers(known, [certificate.cert])).toMatchObject({ kind: 'answered' });
    expect(await answers(own.port, [])).toMatchObject({ kind: 'lost', message: expect.stringMatching(/self-signed/) });
  });

  test('do not make another name right', async () => {
    const { port } = await server();
    const options = { lookup: here, authorities: [certificate.cert] };
    const pool = poolOf(`https://other.example.com:${port}`, options);
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'lost', message: expect.stringMatching(/altnames/) });
  });
});

test('a name that leads elsewhere by now is followed, however busy the connection is', async () => {
  const { port, requests } = await serve((_, response) => json(response, 200, {}));
  const moved: string[] = [];
  const second = createServer((request, response) => {
    moved.push(request.url ?? '');
    response.end('{}');
  });
  onTestFinished(() => void second.close(() => {}).closeAllConnections());
  second.listen(port, '127.0.0.2');
  await once(second, 'listening');
  let address = '127.0.0.1';
  const lookup = leadingTo(() => [address]);
  const pool = poolOf(`http://api.localhost:${port}`, { lookup, connections: 1, heldMs: 100 });
  expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered' });
  expect([requests.length, moved.length]).toEqual([1, 0]);
  address = '127.0.0.2';
  // The old address goes on answering all the while.
  await until('the new address is asked', async () => {
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered' });
    return moved.length > 0;
  });
});

describe('IPv6', () => {
  async function listening(host: string): Promise<number> {
    const local = createServer((_request, response) => void response.end('{}'));
    onTestFinished(() => void local.close());
    local.listen(0, host);
    await once(local, 'listening');
    return Object(local.address()).port;
  }

  test('an address in a URL, and a name that has no other, are connected to', async () => {
    const port = await listening('::1');
    const lookup = leadingTo(() => ['::1']);
    for (const host of ['[::1]', 'api.localhost']) {
      const pool = poolOf(`http://${host}:${port}`, { lookup });
      expect(await exchange(pool, GET), host).toMatchObject({ kind: 'answered' });
    }
  });

  test.each([
    ['127.0.0.1', ['::1', '127.0.0.1']],
    ['::1', ['127.0.0.1', '::1']],
  ])('of a name with both kinds of addresses, the one that answers is used: %s', async (host, addresses) => {
    const pool = poolOf(`http://api.localhost:${await listening(host)}`, { lookup: leadingTo(() => addresses) });
    expect(await exchange(pool, GET)).toMatchObject({ kind: 'answered' });
  });

  test('an address is tunnelled to, and its certificate is looked at', async () => {
    const [host, other] = ['[2001:db8::1]', '[2001:db8::2]'];
    const addressed = certificateFor('IP:2001:db8::1');
    const { origin } = await serve((_, response) => json(response, 200, {}));
    const there = `http://127.0.0.1:${await startTls(addressed, origin)}`;
    const proxy = await startConnectProxy({ hosts: { [host]: there, [other]: there } });
    const route = { proxy: through(proxy.url), authorities: [addressed.cert] };
    expect(await exchange(poolOf(`https://${host}`, route), GET)).toMatchObject({ kind: 'answered' });
    expect(await exchange(poolOf(`https://${other}`, route), GET)).toMatchObject({ kind: 'lost' });
    expect(proxy.asked).toEqual([`${host}:443`, `${other}:443`]);
  });
});
