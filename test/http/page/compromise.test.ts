/** Reporting leaked keys on the page: what would happen, what the breaker asks, and what comes of it. */
import { expect, test } from 'vitest';
import { discover } from '../../../jobs/discover.ts';
import { dryRun } from '../../../jobs/plan/dry-run.ts';
import { requestSchema } from '../../../jobs/schemas.ts';
import { keksOf } from '../../../src/rotation/policy.ts';
import { makeToken } from '../../support/api.ts';
import { type Fleet, KID_APP, PEM_APP, startFleet } from '../../support/fleet.ts';
import { formIn, type PageVisitor, type Seen, signedIn, wordsOf } from '../../support/page.ts';
import { until } from '../../support/until.ts';

const REASON = 'found in <b>a public repository</b>';

async function start(config: object = {}, apps = [PEM_APP]) {
  const fleet = await startFleet({ apps, config: { http: { listen: '127.0.0.1:0' }, ...config } });
  const { url } = await fleet.start({ http: true });
  const enter = async (name: string, only: string | null = null) =>
    signedIn(url ?? '', await makeToken(fleet, { name, only }));
  return { fleet, enter, ada: await enter('ada') };
}

function report(visitor: PageVisitor, fields: Readonly<Record<string, string>>): Promise<Seen> {
  return visitor.ask('/compromise', '/compromise', { reason: REASON, ...fields });
}

/** Says yes to what is shown; `confirm` where the breaker asks. */
function yes(visitor: PageVisitor, shown: Seen, more: Readonly<Record<string, string>> = {}): Promise<Seen> {
  return visitor.post('/compromise', { ...formIn(shown.text, '/compromise'), ...more });
}

async function rotationsIn({ text }: Seen): Promise<readonly string[]> {
  return [...text.matchAll(/<code>(r[\w-]{21})<\/code>/g)].map(([, id = '']) => id);
}

async function told(fleet: Fleet, type: string) {
  return (await fleet.audit()).filter((entry) => entry.type === type);
}

test('of one client, and of a key by its name: shown, and replaced at once', async () => {
  const { fleet, ada } = await start();
  const [client, other] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const page = await ada.get(`/clients/${client.ref}`);
  const [, link = ''] = /href="(\/compromise\?[^"]*)"/.exec(page.text) ?? [];
  const form = await ada.get(link.replaceAll('&amp;', '&'));
  expect(form.text).toContain(`value="${client.ref}"`);

  const shown = await report(ada, { what: 'client', client: client.ref });
  const words = wordsOf(shown.text);
  expect(words).toMatch(/Replace leaked keys\? Nothing has been done yet.*generate a key.*PATCH \(cut over\)/);
  expect(words).not.toContain('The breaker');
  expect(fleet.patches(client)).toEqual([]);
  const done = await ada.follow(await yes(ada, shown));
  const [id = ''] = await rotationsIn(done);
  const kid = (await fleet.record(client)).keys[0]?.kid ?? '';
  await fleet.reached(client, id);
  expect(await told(fleet, 'api.called')).toMatchObject([
    {
      claimed_by: 'token:ada',
      reason: REASON,
      data: { route: 'POST /compromise', compromised: true, select: 'clients' },
    },
  ]);
  expect(await told(fleet, 'key.compromised')).toMatchObject([
    { client: client.ref, claimed_by: 'token:ada', data: { kid } },
  ]);

  const active = (await fleet.record(other)).keys[0]?.kid ?? '';
  const byName = await report(ada, { what: 'kid', kid: active });
  expect(wordsOf(byName.text)).toMatch(/1 client would get a new key\..*The breaker does not ask for a confirmation/);
  const [second = ''] = await rotationsIn(await ada.follow(await yes(ada, byName)));
  await fleet.reached(other, second);
  const none = await report(ada, { what: 'kid', kid: '<script>alert(1)</script>' });
  expect(none.text).not.toContain('<script>alert');
  expect(wordsOf(none.text)).toContain('Nothing would be started.');
  for (const wrong of [
    { what: 'client', client: 'x' },
    { what: 'kid', kid: '' },
    { what: 'none' },
    { what: 'app', app: 'x' },
  ]) {
    expect((await report(ada, wrong)).status, JSON.stringify(wrong)).toBe(400);
  }
  for (const wrong of [
    { what: 'app', app: '1/none' },
    { what: 'policy', policy: 'none' },
  ]) {
    expect((await report(ada, wrong)).status, JSON.stringify(wrong)).toBe(422);
  }
  const both = await report(ada, { what: 'kek', kek: 'kek-1', keep_standby: 'yes' });
  expect(both.status).toBe(400);
});

test('of many: the breaker asks, found clients are left alone, and without the confirmation nothing is started', async () => {
  const { fleet, ada } = await start();
  for (let made = 0; made < 3; made += 1) await fleet.managed(PEM_APP);
  const left = await fleet.foreign(PEM_APP);
  const { resources, queues } = fleet;
  const context = { resources, queues, keks: keksOf(fleet.config), log: resources.log, lockMs: 30_000 };
  await discover({ v: 1, policy: 'pem-app', slot: '1' }, context);
  const ways = [
    { what: 'all' },
    { what: 'app', app: '185019846023/pem-app' },
    { what: 'policy', policy: 'pem-app' },
    { what: 'kek', kek: 'kek-1' },
  ];
  for (const way of ways) {
    const words = wordsOf((await report(ada, way)).text);
    expect(words, JSON.stringify(way)).toMatch(/^Replace leaked keys\?.* 3 clients would get a new key\./);
    expect(words).toContain('The breaker asks for a confirmation. It is more than 20 % of 3 clients.');
    expect(words).toContain('Yes: replace the keys of 3 clients');
    if (way.what !== 'kek') expect(words).toContain('1 client would be left alone');
  }
  expect(wordsOf((await report(ada, { what: 'host', host: 'nowhere' })).text)).toContain('Nothing would be started.');
  expect(await told(fleet, 'rotation.started')).toEqual([]);
  // A search that takes too long is ended: what was not looked at may be too much.
  const asked = { v: 1, reason: 'x', actor: 'y', select: { kek: 'kek-1' }, compromised: true };
  const ended = await dryRun(requestSchema.parse(asked), resources, AbortSignal.abort());
  expect(ended).toMatchObject({ rotated: 0, left: 4, breaker: { isMuch: false, asksForConfirmation: true } });

  const shown = await report(ada, { what: 'all' });
  const refused = await ada.follow(await yes(ada, shown));
  expect(wordsOf(refused.text)).toMatch(/It has failed\..*more than 20 % of the fleet need a confirmation/);
  const again = /href="(\/compromise\?[^"]*)"/.exec(refused.text.slice(refused.text.indexOf('It has failed')))?.[1];
  expect(again).toBe('/compromise?what=all');
  expect(await told(fleet, 'rotation.started')).toEqual([]);

  // What was filled in then is filled in again.
  const all = await report(ada, { what: 'all', take_over: 'yes' });
  const [, back = ''] = /href="(\/compromise\?what[^"]*)"/.exec((await ada.follow(await yes(ada, all))).text) ?? [];
  expect(back).toBe('/compromise?what=all&amp;take_over=yes');
  expect((await ada.get(back.replace('&amp;', '&'))).text).toMatch(/<details open>.*\s.*name="take_over"[^>]* checked/);

  const done = await ada.follow(await yes(ada, shown, { confirm: 'yes' }));
  expect(wordsOf(done.text)).toContain('They still sign in with their present keys.');
  expect(await rotationsIn(done)).toHaveLength(3);
  expect(done.text).toContain(`href="/clients/${left.ref}"`);
  await until('all are replaced', async (saw) => saw(await told(fleet, 'rotation.completed')).length === 3);
});

test('by a visitor who may see some clients does not tell how many there are', async () => {
  const { fleet, enter } = await start({}, [PEM_APP, KID_APP]);
  for (const app of [PEM_APP, PEM_APP, PEM_APP, KID_APP, KID_APP]) await fleet.managed(app);
  const way = { what: 'app', app: '185019846023/pem-app' };
  const only = await enter('only', way.app);
  const shown = await report(only, way);
  expect(wordsOf(shown.text)).toMatch(/3 clients would get a new key\..* It is more than 20 % of the fleet\./);
  // Without the confirmation it is refused: the refusal does not tell, either.
  const refused = await only.follow(await yes(only, shown));
  expect(wordsOf(refused.text)).toMatch(/It has failed\. It is about 3 clients, and more than 20 % of the fleet/);
  for (const { text } of [shown, refused]) expect(wordsOf(text)).not.toMatch(/5 clients/);
  expect(wordsOf((await report(await enter('bob'), way)).text)).toContain('It is more than 20 % of 5 clients.');
});

test('of many, where the config asks for a second person: that one approves it on its page', async () => {
  const { fleet, ada, enter } = await start({ approval: { compromise_all: 2 } });
  for (let made = 0; made < 2; made += 1) await fleet.managed(PEM_APP);
  const shown = await report(ada, { what: 'all' });
  expect(wordsOf(shown.text)).toContain('Then it waits for a second person to approve it');
  const sent = await yes(ada, shown, { confirm: 'yes' });
  const place = sent.to ?? '';
  await until('it waits', async (saw) => wordsOf(saw(await ada.get(place)).text).includes('waits for one more person'));
  const action = `${place}/approve`;
  const own = await ada.send(place, action, { reason: 'it is right' });
  expect(own.status).toBe(409);
  expect(wordsOf(own.text)).toContain('somebody else has to approve it');
  const bob = await enter('bob');
  // A restricted one is told neither whom it is about nor what it waits for, and approves nothing.
  const only = await enter('only', '185019846023/pem-app');
  const seen = await only.get(place);
  expect(wordsOf(seen.text)).not.toMatch(/waits for one|public repository/);
  expect(() => formIn(seen.text, action)).toThrow('no form');
  const approved = await bob.send(place, action, { reason: 'it is right' });
  expect(approved).toMatchObject({ status: 303, to: place });
  expect(wordsOf((await bob.follow(approved)).text)).toContain('You have approved it.');
  await until('both are replaced', async (saw) => saw(await told(fleet, 'rotation.completed')).length === 2);
  expect(await told(fleet, 'rotation.approved')).toMatchObject([
    { actor: 'token:bob', claimed_by: 'token:bob', reason: 'it is right', data: { asked_claimed_by: 'token:ada' } },
  ]);
  expect(wordsOf((await ada.get(place)).text)).toMatch(/The 2 rotations/);
  expect((await bob.get('/requests/http-none')).status).toBe(404);
});
