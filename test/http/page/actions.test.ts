/** What people do on the page, and what comes of it: in the record, in the audit log, and on the next page. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { connectRedis } from '../../../src/store/redis/connection.ts';
import { CHANGE } from '../../emulator/fault-rules.ts';
import { makeToken } from '../../support/api.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../../support/fleet.ts';
import { formIn, type PageVisitor, signedIn, wordsOf } from '../../support/page.ts';
import { until } from '../../support/until.ts';

const HTTP = { http: { listen: '127.0.0.1:0' } };
const ATTACK = '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>';
const BY = { actor: 'token:ada', claimed_by: 'token:ada' };

async function start(config: object = {}, apps = [PEM_APP]) {
  const fleet = await startFleet({ apps, config: { ...HTTP, ...config } });
  const { url } = await fleet.start({ http: true });
  const at = url ?? '';
  return { fleet, url: at, ada: await signedIn(at, await makeToken(fleet, { name: 'ada' })) };
}

const placeOf = ({ ref }: FleetClient, action = '') => `/clients/${ref}${action === '' ? '' : `/${action}`}`;

async function entriesOf(fleet: Fleet, ...types: readonly string[]) {
  return (await fleet.audit()).filter(({ type }) => types.includes(type));
}

/** Looks at what would happen, and says yes. */
async function confirmed(visitor: PageVisitor, shown: { readonly text: string }, action: string, more: object = {}) {
  return visitor.post(action, { ...formIn(shown.text, action), ...more });
}

describe('a rotation', () => {
  test('is shown step by step, begun once, and told of; what a person writes is text everywhere', async () => {
    const { fleet, ada } = await start();
    const client = await fleet.managed(PEM_APP);
    const action = placeOf(client, 'rotate');
    const reason = `a drill ${ATTACK}`;
    const shown = await ada.ask(placeOf(client), action, { reason });
    expect(shown.status).toBe(200);
    expect(shown.text).not.toContain('<script>alert');
    const words = wordsOf(shown.text);
    expect(words).toMatch(
      /Nothing has been done yet.*It is asked for because: a drill.*generate a key for ES256.*PATCH \(cut over\).*test sign-in.*destroy/,
    );
    expect(fleet.patches(client)).toEqual([]);
    expect(await entriesOf(fleet, 'api.called', 'rotation.requested', 'rotation.started')).toEqual([]);

    // Sent twice at once, and once more later: one request.
    const fields = formIn(shown.text, action);
    const [one, two] = await Promise.all([ada.post(action, fields), ada.post(action, fields)]);
    expect(one).toMatchObject({ status: 303, to: expect.stringMatching(/^\/requests\/http-[\w-]+$/) });
    expect(two.to).toBe(one.to);
    expect((await ada.post(action, fields)).to).toBe(one.to);
    const told = await ada.follow(one);
    expect(told.text).toContain(`href="/clients/${client.ref}"`);
    expect(told.text).not.toContain('<script>alert');
    expect(wordsOf(told.text)).toContain(`Asked for by token:ada: ${reason}`);
    const id = /<code>(r[\w-]{21})<\/code>/.exec(told.text)?.[1] ?? '';
    await fleet.reached(client, id);
    const request = one.to?.split('/').at(-1);
    expect(await entriesOf(fleet, 'api.called', 'rotation.started')).toMatchObject([
      {
        type: 'api.called',
        ...BY,
        reason,
        data: { request, address: '127.0.0.1', route: expect.stringMatching(/rotate$/) },
      },
      { type: 'rotation.started', client: client.ref, rotation: id, ...BY, reason },
    ]);
    expect(wordsOf((await ada.get(one.to ?? '')).text)).toMatch(/finished/);

    // The same form with another reason is another request.
    const changed = await ada.post(action, { ...fields, reason: 'once more' });
    expect(changed.to).not.toBe(one.to);
    await ada.follow(changed);
    const next = await until('it has begun', async () => (await fleet.record(client)).rotation?.id);
    await fleet.reached(client, next);
  });

  test('that is only looked at can be looked at again: by reload and Back, in its session, until it is asked for', async () => {
    const { fleet, url, ada } = await start();
    const [client, other] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
    const action = placeOf(client, 'rotate');
    const reason = 'word for word';
    const sent = await ada.send(placeOf(client), action, { reason });
    const to = sent.to ?? '';
    // A proxy and a browser keep addresses: this one says no more than the client.
    expect(to).toMatch(new RegExp(`^${action}/[\\w-]{22}$`));
    for (let time = 0; time < 2; time += 1) {
      const { status, text } = await ada.get(to);
      expect([status, wordsOf(text)]).toEqual([200, expect.stringContaining(`It is asked for because: ${reason}`)]);
    }
    expect(await fleet.queues.requests.getJobCounts()).toMatchObject({ prioritized: 0, waiting: 0 });
    // It says what would happen now, and not what would have happened.
    const rotation = await fleet.rotate(client);
    await fleet.reached(client, rotation);
    const shown = await ada.get(to);

    // In another session, at another address, and changed by somebody who can write to Redis, it is nothing.
    const token = await makeToken(fleet, { name: 'other' });
    const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
    onTestFinished(() => operator.disconnect());
    const [kept = ''] = await operator.keys('*:session-texts:*');
    const [text = ''] = await operator.lrange(kept, 0, -1);
    expect(await operator.pttl(kept)).toBeGreaterThan(0);
    const [body = '', seal = ''] = text.split('.');
    const changed = Buffer.from(body, 'base64url').toString().replace(reason, 'something else');
    const isGone = async (visitor: PageVisitor, path: string, form: string) => {
      const answer = await visitor.get(path);
      expect(answer).toMatchObject({ status: 303, to: form });
      const words = wordsOf((await visitor.follow(answer)).text);
      expect(words).toMatch(/^What would happen is shown for an hour.* nothing was done/);
    };
    await isGone(await signedIn(url, token), to, placeOf(client));
    await isGone(ada, to.replace(client.ref, other.ref), placeOf(other));
    await isGone(ada, `/compromise/${to.split('/').at(-1)}`, '/compromise');
    await isGone(ada, to.slice(0, -1), placeOf(client));
    await operator.lset(kept, 0, `${Buffer.from(changed).toString('base64url')}.${seal}`);
    await isGone(ada, to, placeOf(client));
    await operator.lset(kept, 0, text);

    const taken = await confirmed(ada, shown, action);
    await ada.follow(taken);
    const back = await ada.get(to);
    expect(wordsOf(back.text)).toMatch(/^Asked for already/);
    expect(back.text).toContain(`href="${taken.to}"`);
    expect(() => formIn(back.text, action)).toThrow('no form');
    await until('it is rotated', async () => (await fleet.resources.store.history(client.ref))[0]?.reason === reason);
    // So many are kept, and no more.
    for (let made = 0; made < 25; made += 1) await ada.post(action, { ...formIn(shown.text, action), step: '' });
    expect(await operator.llen(kept)).toBe(20);
  });

  test('that failed is told of on the page of its request; to somebody else it is nothing', async () => {
    const { fleet, url, ada } = await start();
    const client = await fleet.managed(PEM_APP);
    const match = { ...CHANGE, client: client.id };
    fleet.emulator.faults.add({ kind: 'status', status: 400, message: 'locked', match });
    const action = placeOf(client, 'rotate');
    const shown = await ada.ask(placeOf(client), action, { reason: 'a drill' });
    const taken = await confirmed(ada, shown, action);
    await until('it has failed', async () => (await fleet.record(client)).failure !== null);
    const told = wordsOf((await ada.follow(taken)).text);
    expect(told).toContain('1 of 1 failed or was rolled back. The page of each client says why, and what to do.');
    const only = `${DEPLOYMENT}/${PEM_APP.slug}/${client.id}0`;
    const other = await signedIn(url, await makeToken(fleet, { name: 'other', only }));
    const hidden = wordsOf((await other.follow(taken)).text);
    expect(hidden).toBe('A rotation that was asked for Nothing was started for clients that you may see.');
  });

  test('takes a reason, a form of ours, and a client that is still there', async () => {
    const { fleet, ada } = await start();
    const client = await fleet.managed(PEM_APP);
    const action = placeOf(client, 'rotate');
    const fields = formIn((await ada.get(placeOf(client))).text, action);
    const before = (await fleet.audit()).length;
    for (const reason of ['', '   ', 'x'.repeat(501), '-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----']) {
      const seen = await ada.post(action, { ...fields, reason });
      expect(seen.status, reason.slice(0, 20)).toBe(400);
      expect(wordsOf(seen.text)).toMatch(/The reason .* Go back/);
    }
    const lost = await ada.post(action, { ...fields, reason: 'a drill', nonce: 'x', step: 'confirm' });
    expect(lost).toMatchObject({ status: 400, text: expect.stringContaining('This form is not complete') });
    for (const ref of ['185019846023/pem-app/none', '185019846023/none/1', 'a/b/c%20d']) {
      const seen = await ada.post(`/clients/${ref}/rotate`, { ...fields, reason: 'a drill' });
      expect(seen.status, ref).toBe(404);
      expect(wordsOf(seen.text)).toMatch(/not known here, or you may not see it\. To the fleet/);
    }
    expect((await fleet.audit()).length).toBe(before);
    // It vanishes while its page is open.
    const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
    onTestFinished(() => operator.disconnect());
    await operator.del(fleet.resources.store.keys.record(client.ref));
    for (const name of ['rotate', 'rollback', 'pause', 'resume']) {
      const gone = await ada.post(placeOf(client, name), { ...fields, reason: 'a drill' });
      expect(gone.status, name).toBe(404);
      expect(wordsOf(gone.text)).toContain(`The client ${client.ref} is not known here`);
    }
    const leak = { what: 'client', client: client.ref, reason: 'leaked' };
    const reported = await ada.ask('/compromise', '/compromise', leak);
    expect(wordsOf(reported.text)).toContain('is not known here. Nothing would be started.');
    expect((await ada.get(placeOf(client))).status).toBe(404);
  });

  test('of a client that is not enrolled says what it takes', async () => {
    const { fleet, ada } = await start();
    const client = await fleet.managed(PEM_APP, { enroll: false });
    const action = placeOf(client, 'rotate');
    const page = await ada.get(placeOf(client));
    expect(wordsOf(page.text)).toContain('Take the client over');
    const refused = await ada.ask(placeOf(client), action, { reason: 'a drill' });
    expect(wordsOf(refused.text)).toContain('Nothing would be started.');
    const shown = await ada.ask(placeOf(client), action, { reason: 'a drill', take_over: 'yes' });
    expect(wordsOf(shown.text)).toContain('It is held, not enrolled: its application must take the new key');
    const done = await ada.follow(await confirmed(ada, shown, action));
    expect(wordsOf(done.text)).toMatch(/Taken over They were not enrolled/);
    const id = /<code>(r[\w-]{21})<\/code>/.exec(done.text)?.[1] ?? '';
    await fleet.reached(client, id);
  });
});

test('a client is paused, resumed and enrolled, each once, and its previous key is put back', async () => {
  const { fleet, url, ada } = await start({}, [{ ...PEM_APP, policy: { overlap: '1h' } }]);
  const client = await fleet.managed(PEM_APP, { enroll: false });
  const { store } = fleet.resources;
  const page = async () => (await ada.get(placeOf(client))).text;

  const paused = await ada.send(placeOf(client), placeOf(client, 'pause'), { reason: ATTACK, for: '4h' });
  expect(paused).toMatchObject({ status: 303, to: placeOf(client) });
  // Another open page asks for itself at this moment: the notice is not for that one.
  expect(wordsOf((await ada.get('/', { 'x-rekeyd-refresh': 'yes' })).text)).not.toContain('Paused:');
  const told = await ada.follow(paused);
  expect(wordsOf(told.text)).toContain(`Paused: ${client.ref}. No scheduled rotation begins until 20`);
  expect(told.text).not.toContain('<script>alert');
  // Once.
  expect(wordsOf(await page())).not.toContain('No scheduled rotation begins until 20');
  const [pause] = await store.pauses();
  expect(pause).toMatchObject({ scope: { client: client.ref }, actor: 'token:ada', reason: ATTACK });
  expect(Number(pause?.until) - Number(pause?.at)).toBe(4 * 3_600_000);
  expect(() => formIn(told.text, placeOf(client, 'pause'))).toThrow('no form');

  // A form that is sent twice ends no pause that somebody began in between.
  const resume = { ...formIn(told.text, placeOf(client, 'resume')), reason: 'over' };
  const resumed = await ada.post(placeOf(client, 'resume'), resume);
  expect(wordsOf((await ada.follow(resumed)).text)).toContain(`Resumed: ${client.ref}.`);
  expect(await store.pauses()).toEqual([]);
  const other = await signedIn(url, await makeToken(fleet, { name: 'other' }));
  await other.send(placeOf(client), placeOf(client, 'pause'), { reason: 'a freeze', for: '' });
  expect(wordsOf((await ada.follow(await ada.post(placeOf(client, 'resume'), resume))).text)).toContain('Resumed');
  expect(await store.pauses()).toMatchObject([{ actor: 'token:other', reason: 'a freeze', until: null }]);
  await ada.send(placeOf(client), placeOf(client, 'resume'), { reason: 'over' });
  const bad = await ada.send(placeOf(client), placeOf(client, 'pause'), { reason: 'x', for: 'soon' });
  expect(bad.status).toBe(400);

  const enrolled = await ada.send(placeOf(client), placeOf(client, 'enroll'), { reason: 'it reads the folder' });
  expect(wordsOf((await ada.follow(enrolled)).text)).toContain('The client is enrolled.');
  expect((await fleet.record(client)).enrolment).toBe('enrolled');
  const text = await page();
  expect(() => formIn(text, placeOf(client, 'enroll'))).toThrow('no form');
  expect(() => formIn(text, placeOf(client, 'rollback'))).toThrow('no form');
  const early = await ada.post(placeOf(client, 'rollback'), { ...resume, reason: 'back' });
  expect(early.status).toBe(422);
  expect(wordsOf(early.text)).toContain('has no previous key that could be put back');

  const first = (await fleet.record(client)).keys[0]?.kid;
  await fleet.reached(client, await fleet.rotate(client), 'active');
  const back = formIn(await page(), placeOf(client, 'rollback'));
  const [one, two] = await Promise.all(
    [1, 2].map(() => ada.post(placeOf(client, 'rollback'), { ...back, reason: 'the new one does not work' })),
  );
  expect([one?.status, two?.status]).toEqual([303, 303]);
  expect(wordsOf((await ada.get(placeOf(client))).text)).toContain('The previous key is put back.');
  const begun = (await entriesOf(fleet, 'rotation.started')).filter(({ claimed_by: by }) => by === 'token:ada');
  expect(begun).toMatchObject([{ client: client.ref, ...BY, reason: 'the new one does not work' }]);
  await fleet.reached(client, begun[0]?.rotation ?? '', 'active');
  expect((await fleet.record(client)).keys.find(({ state }) => state === 'active')?.kid).toBe(first);
  expect(await entriesOf(fleet, 'schedule.paused', 'schedule.resumed', 'client.enrolled')).toMatchObject([
    { type: 'schedule.paused', client: client.ref, ...BY, reason: ATTACK },
    { type: 'schedule.resumed', client: client.ref, ...BY, reason: 'over' },
    { type: 'schedule.paused', claimed_by: 'token:other' },
    { type: 'schedule.resumed', ...BY },
    { type: 'client.enrolled', ...BY, reason: 'it reads the folder' },
    { type: 'schedule.paused', ...BY, reason: 'rolled back: the new one does not work' },
  ]);
});

test('what holds for many is paused and resumed, and a wave that stopped goes on', async () => {
  const { fleet, ada } = await start();
  const { store } = fleet.resources;
  const resumed = async (fields: object) => {
    const page = await ada.get('/');
    const [form = ''] = page.text.match(/<form[^>]*action="\/resume"[\s\S]*?<\/form>/) ?? [];
    return ada.post('/resume', { ...formIn(form, '/resume'), reason: 'over', ...fields });
  };
  const words = async (path: string) => wordsOf((await ada.get(path)).text);
  for (const [scope, said] of [
    [{ scope: 'policy', policy: 'pem-app' }, 'all clients of policy pem-app'],
    [{ scope: 'app', app: '185019846023/pem-app' }, 'all clients of app 185019846023/pem-app'],
    [{ scope: 'all' }, 'all clients'],
  ] as const) {
    const paused = await ada.send('/', '/pause', { ...scope, for: '1h', reason: ATTACK });
    expect(paused).toMatchObject({ status: 303, to: '/' });
    const page = await ada.follow(paused);
    expect(page.text).not.toContain('<script>alert');
    expect(wordsOf(page.text)).toContain(`Paused: ${said}.`);
    expect(wordsOf(page.text)).toContain(`Paused by token:ada: ${ATTACK}`);
    const over = await resumed({});
    expect(wordsOf((await ada.follow(over)).text)).toContain(`Resumed: ${said}.`);
    expect(await store.pauses()).toEqual([]);
  }
  for (const [scope, status] of [
    [{ scope: 'policy', policy: 'none' }, 422],
    [{ scope: 'app', app: '1/none' }, 422],
    [{ scope: 'app', app: '' }, 400],
    [{ scope: '' }, 400],
    [{ scope: '__proto__' }, 400],
  ] as const) {
    expect((await ada.send('/', '/pause', { ...scope, reason: 'x' })).status, JSON.stringify(scope)).toBe(status);
  }

  const wave = { policy: 'pem-app', id: 'w1' };
  await store.beginWave(wave, { found: 5, first: 1 });
  await store.stopWave(wave, `1 of 1 failed ${ATTACK}`, []);
  expect(await words('/')).toContain(`It stopped: 1 of 1 failed ${ATTACK}`);
  const goOn = formIn((await ada.get('/')).text, '/waves/pem-app/resume');
  const [one, two] = await Promise.all(
    [1, 2].map(() => ada.post('/waves/pem-app/resume', { ...goOn, reason: 'it was the network' })),
  );
  expect([one?.status, two?.status]).toEqual([303, 303]);
  expect(await words('/')).toContain('The wave of policy pem-app');
  expect(await entriesOf(fleet, 'policy.resumed')).toMatchObject([
    { ...BY, reason: 'it was the network', data: { policy: 'pem-app' } },
  ]);
  expect((await ada.post('/waves/none/resume', { ...goOn, reason: 'x' })).status).toBe(422);
  expect(await entriesOf(fleet, 'schedule.paused', 'schedule.resumed')).toHaveLength(6);
});
