/** The selectors of `status`, and pausing, as typed at a terminal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Client, documentOf, openWorld, type World } from './fixture.ts';

let world: World;
let enrolled: Client;
let held: Client;
let found: Client;
beforeAll(async () => {
  world = await openWorld();
  enrolled = await world.enrolledClient('pem-app');
  held = world.addClient('kid-app');
  const imported = await world.run(['keys', 'import', held.ref, '--file', await world.keyFile(held)]);
  expect(imported.code, imported.stderr).toBe(0);
  found = await world.foundClient('kid-app');
});
afterAll(() => world.close());

const clientsIn = async (...args: string[]) =>
  documentOf(await world.run(['status', '--json', ...args])).clients.map(({ client }: { client: string }) => client);

describe('status', () => {
  test('lists those that need a person first, and what was selected', async () => {
    expect(await clientsIn()).toEqual([held.ref, found.ref, enrolled.ref]);
    expect(await clientsIn('--app', '185019846023/pem-app')).toEqual([enrolled.ref]);
    expect(await clientsIn('--policy', 'kid-app')).toEqual([held.ref, found.ref]);
    expect(await clientsIn('--state', 'found')).toEqual([found.ref]);
    expect(await clientsIn('--limit', '1')).toEqual([held.ref]);
    expect(await clientsIn('--limit', '0')).toEqual([]);
  });

  test('counts all that was selected, whatever is listed', async () => {
    const [some, none, told] = await Promise.all([
      world.run(['status', '--policy', 'kid-app', '--state', 'found', '--json']),
      world.run(['status', '--app', '185019846023/kid-app', '--state', 'halted']),
      world.run(['status', '--limit', '1']),
    ]);
    expect(documentOf(some).counts).toMatchObject({ found: 1, held: 1, healthy: 0 });
    expect(none.stdout).toMatch(/^2 clients: 1 held, 1 found\nDue by schedule: 0 now, .*\nNone of them is halted\.$/m);
    expect(none.stdout).not.toContain(found.ref);
    expect(told.stdout).toMatch(/^3 clients: .*\nDue by schedule: .*\nCLIENT .*\n.*\n… and 2 more: /m);
  });

  test.each<[string, string[], RegExp]>([
    ['a state that is none', ['--state', 'fine'], /no state "fine". There are: halted, failed, overdue/],
    ['a document without end', ['--json', '--watch'], /take one of them/],
    ['two selectors', ['--app', '185019846023/pem-app', '--policy', 'pem-app'], /give one of them/],
    ['a limit that is no number', ['--limit', 'few'], /whole number/],
  ])('%s is wrong usage', async (_, args, message) => {
    const ended = await world.run(['status', ...args]);
    expect(ended.code, ended.stderr).toBe(2);
    expect(ended.stderr).toMatch(message);
  });
});

describe('pause and resume', () => {
  test('say what they did, and a wider pause goes on', async () => {
    const all = await world.run(['pause', '--all', '--reason', 'incident', '--for', '4h', '--json']);
    expect(all.code, all.stderr).toBe(0);
    expect(documentOf(all)).toEqual({
      paused: [{ all: true, reason: 'incident', since: expect.any(String), until: expect.any(String) }],
      errors: [],
    });
    const one = await world.run(['pause', enrolled.ref, '--reason', 'its partner']);
    expect(one.stdout).toContain(`\`rekeyd resume ${enrolled.ref}\``);
    const resumed = await world.run(['resume', enrolled.ref]);
    expect(resumed.code).toBe(1);
    expect(resumed.stdout).toMatch(/Still paused, by cli:\S+: all clients \(incident\)\. `rekeyd resume --all`/);
    const doctor = await world.run(['doctor']);
    expect(doctor.stdout).toMatch(/^note {3}pauses: all clients, by cli:\S+ until \S+: incident\n.*rekeyd resume/m);
    const ended = await world.run(['resume', '--all', '--json']);
    expect([ended.code, documentOf(ended)]).toEqual([
      0,
      { resumed: [{ all: true, was_paused: true, still_paused_by: null }], pauses: [] },
    ]);
    const again = await world.run(['resume', '--all']);
    expect([again.code, again.stdout]).toEqual([0, 'There is no pause of all clients.\n']);
  });

  test('a client that is not known is not paused in silence', async () => {
    const ended = await world.run(['pause', `${enrolled.ref}0`, enrolled.ref, '--reason', 'x', '--json']);
    expect(ended.code).toBe(1);
    expect(documentOf(ended)).toMatchObject({
      paused: [{ client: enrolled.ref }],
      errors: [{ client: `${enrolled.ref}0`, message: expect.stringContaining('is not known') }],
    });
    expect((await world.run(['resume', enrolled.ref])).code).toBe(0);
  });

  test.each<[string, string[], RegExp]>([
    ['a pause of nothing', ['pause', '--reason', 'x'], /Say what to pause/],
    ['a pause without a reason', ['pause', '--all'], /required option '--reason/],
    ['a pause with a blank reason', ['pause', '--all', '--reason', ' '], /--reason is blank/],
    ['a pause for no time', ['pause', '--all', '--reason', 'x', '--for', '0h'], /is not a duration.*4h/],
    ['a pause of an unknown policy', ['pause', '--policy', 'p', '--reason', 'x'], /has no policy "p"/],
    ['nothing to resume', ['resume'], /Say what to resume/],
  ])('%s is wrong usage', async (_, args, message) => {
    const ended = await world.run(args);
    expect(ended.code, ended.stderr).toBe(2);
    expect(ended.stderr).toMatch(message);
  });
});
