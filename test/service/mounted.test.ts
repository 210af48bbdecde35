/** Applications in containers see a mount of their client's folder and nothing else. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { COMPILED } from '../support/compiled.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import type { MountedLogin } from '../support/mounted-child.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const APPLICATION = fileURLToPath(new URL('../support/mounted-child.ts', import.meta.url));

/** Why not, or null. */
function whyNotUnshared(): string | null {
  try {
    execFileSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'rekeyd-test', '/mnt'], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return `unshare -rm is not permitted here: ${String(error).split('\n')[0]}`;
  }
}

interface Application {
  readonly logins: MountedLogin[];
  readonly hidden: readonly string[];
}

/** Bind-mounts the client's folder, and puts an empty file system over all that rekeyd has. */
async function startMounted(fleet: Fleet, client: FleetClient): Promise<Application> {
  const [seen, data] = [join(fleet.dir, `app-${client.id}`), join(fleet.dir, 'data')];
  await mkdir(seen);
  const script = 'mount --bind "$1" "$2" && mount -t tmpfs rekeyd-test "$3" && shift 3 && exec "$@"';
  const host = `${client.app.slug}.example.com`;
  const application = [process.execPath, APPLICATION, seen, data, fleet.emulator.url, host, client.clientId];
  const child: ChildProcess = spawn(
    'unshare',
    ['-rm', 'sh', '-c', script, 'sh', client.folder, seen, data, ...application],
    {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { PATH: process.env.PATH, ...COMPILED },
    },
  );
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  const [{ hidden }] = await once(child, 'message');
  const logins: MountedLogin[] = [];
  child.on('message', (login: MountedLogin) => void logins.push(login));
  return { logins, hidden };
}

const obstacle = whyNotUnshared();

test.for([KID_APP, PEM_APP])(
  'an application that sees only its own folder follows three rotations ($slug)',
  async (app, { skip }) => {
    skip(obstacle !== null, obstacle ?? '');
    const fleet = await startFleet({ apps: [app] });
    const client = await fleet.managed(app);
    await fleet.start();
    const { logins, hidden } = await startMounted(fleet, client);
    expect(hidden).toEqual([]);
    await until('it signs in with the first key', (saw) => saw(logins.at(-1)?.kid) === client.key.kid);
    for (let rotation = 0; rotation < 3; rotation += 1) {
      const { kid } = await fleet.reached(client, await fleet.rotate(client));
      await until('it signs in with the new key', (saw) => saw(logins.at(-1)?.kid) === kid);
    }
    expect(logins.filter(({ accepted }) => !accepted)).toEqual([]);
    // It reports from inside, too.
    await until('it reports the new key', async (saw) => {
      const reports = saw(await fleet.resources.sinks[0]?.reports?.(client.ref));
      return reports?.length === 1 && reports[0]?.signing === logins.at(-1)?.kid;
    });
    await expectSound(fleet, [client]);
  },
);

test('a watch on the folder hears of a new key', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  const seen: string[] = [];
  const watcher = watch(client.folder, (_, name) => {
    if (name === '..data')
      void readFile(join(client.folder, 'meta.json'), 'utf8').then((text) => seen.push(JSON.parse(text).current));
  });
  onTestFinished(() => watcher.close());
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  await until('it has seen the new key', (saw) => saw(seen.at(-1)) === kid);
});
