/** One try: what the receiver gets, and what is made of its answer. */
import { isIP, type LookupFunction } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/config/secret.ts';
import type { WebhookConfig } from '../../src/config/telling.ts';
import { makeReference } from '../../src/core/client.ts';
import { eventOf } from '../../src/core/event.ts';
import { openSender, type SenderOptions } from '../../src/webhooks/send.ts';
import { certificateFor } from '../support/certificates.ts';
import { startConnectProxy, startSilence, startTls } from '../support/tunnels.ts';
import { KEY, type Receiver, SECRET, startReceiver, status, verified, webhookTo } from './receiver.ts';

const EVENT = eventOf(
  {
    ...{ seq: 7, time: '2026-11-27T10:00:00.000Z', type: 'rotation.failed', client: makeReference('1', 'a', '4711') },
    ...{ rotation: 'r1', actor: 'cli:jane', reason: 'é <b> & [x](https://evil.example)', data: {} },
  },
  'team-payments',
);
const ID = 'evt_store_7';

function senderTo(webhook: WebhookConfig, options: Partial<SenderOptions> = {}) {
  const sender = openSender(webhook, { now: Date.now, ...options });
  onTestFinished(() => sender.close());
  return { send: () => sender.send(EVENT, ID, new AbortController().signal) };
}

function to(receiver: Receiver, changes: Partial<WebhookConfig> = {}) {
  return senderTo(webhookTo(receiver.url, changes));
}

function leadingTo(...addresses: string[]): LookupFunction {
  return (_name, options, done) => {
    const found = addresses.map((address) => ({ address, family: isIP(address) }));
    if (options.all) done(null, found);
    else done(null, found[0]?.address ?? '', found[0]?.family);
  };
}

test('a receiver verifies the signature with either secret while one is replaced, and the URL keeps its query', async () => {
  const receiver = await startReceiver();
  const other = Buffer.alloc(24, 6);
  const { send } = to(receiver, { secrets: [new Secret(other), new Secret(KEY)] });
  expect(await send()).toEqual({ kind: 'delivered' });
  expect(receiver.events()).toEqual([EVENT]);
  const [heard] = receiver.heard;
  if (heard === undefined) throw new Error('nothing was heard');
  expect(heard).toMatchObject({ id: ID, path: '/hook?x=1', headers: { 'content-type': 'application/json' } });
  expect(verified(heard.body, heard.headers, `whsec_${other.toString('base64')}`)).toEqual(EVENT);
  expect(() => verified(heard.body.replace('4711', '4712'), heard.headers)).toThrow('No matching signature');
  expect(() => verified(heard.body, heard.headers, `whsec_${Buffer.alloc(32).toString('base64')}`)).toThrow('No match');
  expect(JSON.stringify(heard.headers)).not.toContain(SECRET.slice(6));
});

test('answers are told apart, nothing follows a redirect, and no answer is read beyond a bound', async () => {
  const receiver = await startReceiver();
  const { send } = to(receiver, { timeoutMs: 10_000 });
  receiver.answer = (response) => void response.writeHead(200).end('x'.repeat(1_000_000));
  expect(await send()).toEqual({ kind: 'delivered' });
  receiver.answer = status(410);
  expect(await send()).toEqual({ kind: 'gone', why: 'it answers 410' });
  receiver.answer = status(307, { location: '/elsewhere' });
  const why = 'it answers 307, and redirects are not followed';
  expect(await send()).toEqual({ kind: 'failed', why, wishedMs: null });
  receiver.answer = status(503, { 'retry-after': '7' });
  expect(await send()).toEqual({ kind: 'failed', why: 'it answers 503', wishedMs: 7_000 });
  receiver.answer = status(429);
  expect(await send()).toMatchObject({ wishedMs: null });
  receiver.answer = status(500, { 'retry-after': '7' });
  expect(await send()).toMatchObject({ wishedMs: null });
  expect(receiver.heard.map(({ path }) => path)).not.toContain('/elsewhere');
  expect(new Set(receiver.heard.map(({ id }) => id))).toEqual(new Set([ID]));
});

test('a receiver that hangs or is not there fails the try, and the URL is not told', async () => {
  const silence = new URL(await startSilence());
  const { send } = senderTo(webhookTo(`http://127.0.0.1:${silence.port}/secret-path`, { timeoutMs: 200 }));
  expect(await send()).toEqual({ kind: 'failed', why: 'no complete answer within 200 ms', wishedMs: null });
  const nobody = senderTo(webhookTo('http://127.0.0.1:9/secret-path', { timeoutMs: 5_000 }));
  const sent = await nobody.send();
  expect(sent).toMatchObject({ kind: 'failed', why: expect.stringContaining('ECONNREFUSED') });
  expect(JSON.stringify(sent)).not.toContain('secret-path');
});

describe('a name that leads into a private network', () => {
  const HOST = 'hooks.example.com';
  const certificate = certificateFor(`DNS:${HOST}`);

  async function behindTls(lookup: LookupFunction, changes: Partial<WebhookConfig> = {}) {
    const receiver = await startReceiver();
    const port = await startTls(certificate, new URL(receiver.url).origin);
    const route = { proxy: null, authorities: [certificate.cert] };
    const webhook = webhookTo(`https://${HOST}:${port}/hook`, { allowPrivate: [], route, ...changes });
    return { receiver, ...senderTo(webhook, { lookup }) };
  }

  test.each([
    ['this machine', ['127.0.0.1']],
    ['one of several', ['93.184.215.14', '10.0.0.1']],
    ['an IPv4 address in IPv6', ['::ffff:127.0.0.1']],
    ['the metadata of a cloud', ['169.254.169.254']],
  ])('is refused: %s', async (_, addresses) => {
    const { receiver, send } = await behindTls(leadingTo(...addresses));
    expect(await send()).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(/no public address.*allow_private/),
    });
    expect(receiver.heard).toEqual([]);
  });

  test('is connected to when the config allows that host, over TLS', async () => {
    const { receiver, send } = await behindTls(leadingTo('127.0.0.1'), { allowPrivate: [HOST] });
    expect(await send()).toEqual({ kind: 'delivered' });
    expect(receiver.events()).toEqual([EVENT]);
  });

  test('is for a proxy to look up, where there is one; and is refused where NO_PROXY goes around it', async () => {
    const receiver = await startReceiver();
    const port = await startTls(certificate, new URL(receiver.url).origin);
    const proxy = await startConnectProxy({ hosts: { [HOST]: `https://127.0.0.1:${port}` } });
    const through = (noProxy: string) => ({
      proxy: { url: new Secret(proxy.url), noProxy },
      authorities: [certificate.cert],
    });
    const url = `https://${HOST}:${port}/hook`;
    const lookup = leadingTo('127.0.0.1');
    const around = webhookTo(url, { allowPrivate: [], route: through(HOST) });
    expect(await senderTo(around, { lookup }).send()).toMatchObject({
      why: expect.stringContaining('no public address'),
    });
    expect([proxy.asked, receiver.heard]).toEqual([[], []]);
    const within = webhookTo(url, { allowPrivate: [], route: through('') });
    expect(await senderTo(within, { lookup }).send()).toEqual({ kind: 'delivered' });
    expect(proxy.asked).toEqual([`${HOST}:${port}`]);
  });

  test('is refused although it led elsewhere before: what was looked at is what is connected to', async () => {
    let looked = 0;
    // At first an address that counts as public, and is routed nowhere; then the one of this machine.
    const rebinding: LookupFunction = (name, options, done) => {
      looked += 1;
      leadingTo(looked === 1 ? '3ffe::1' : '127.0.0.1')(name, options, done);
    };
    const { receiver, send } = await behindTls(rebinding, { timeoutMs: 500 });
    expect(await send()).toMatchObject({ kind: 'failed', why: expect.not.stringContaining('no public address') });
    expect(await send()).toMatchObject({ kind: 'failed', why: expect.stringContaining('no public address') });
    // Each try looks once: there is no second answer that could be another one.
    expect(looked).toBe(2);
    expect(receiver.heard).toEqual([]);
  });
});

describe('other formats', () => {
  const sentTo = async (changes: Partial<WebhookConfig>) => {
    const receiver = await startReceiver();
    receiver.answer = status(202);
    expect(await to(receiver, { secrets: [], ...changes }).send()).toEqual({ kind: 'delivered' });
    const [heard] = receiver.heard;
    expect(heard?.headers).not.toHaveProperty('webhook-signature');
    return JSON.parse(heard?.body ?? '');
  };
  const LINE = 'A rotation failed: 1/a/4711, owned by team-payments. Reason:';

  test('slack: a text in which nothing is markup', async () => {
    expect(await sentTo({ format: 'slack' })).toEqual({
      text: `${LINE} é &lt;b&gt; &amp; [x](https://evil.example) (by cli:jane)`,
    });
  });

  test('teams: an adaptive card in which no text becomes a link', async () => {
    const { type, attachments } = await sentTo({ format: 'teams' });
    expect([type, attachments.length]).toEqual(['message', 1]);
    expect(attachments[0]).toMatchObject({
      contentType: 'application/vnd.microsoft.card.adaptive',
      content: { type: 'AdaptiveCard', version: '1.2' },
    });
    expect(attachments[0].content.body[0]).toEqual({
      ...{ type: 'TextBlock', wrap: true },
      text: `${LINE} é <b> & \\[x\\](https://evil.example) (by cli:jane)`,
    });
  });

  test('pagerduty: an event of API v2 that is the same alert when it is sent again', async () => {
    const routingKey = new Secret('0123456789abcdef0123456789abcdef');
    const body = await sentTo({ format: 'pagerduty', routingKey });
    expect(body).toEqual({
      ...{ routing_key: routingKey.reveal(), event_action: 'trigger', dedup_key: ID },
      payload: {
        ...{ summary: expect.stringContaining(LINE), source: '1/a/4711', severity: 'error', component: 'rekeyd' },
        ...{ timestamp: EVENT.timestamp, class: 'rotation.failed', custom_details: EVENT.data },
      },
    });
    expect(['critical', 'error', 'warning', 'info']).toContain(body.payload.severity);
  });
});
