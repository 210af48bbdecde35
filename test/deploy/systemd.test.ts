/** The unit of systemd: accepted by systemd itself, shut in, and at one with the config beside it. Nothing here runs it: that takes a machine which systemd has started. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import { canMount } from '../support/mounting.ts';
import { until } from '../support/until.ts';

const FOLDER = join(import.meta.dirname, '../../deploy/systemd');
const unit = readFileSync(join(FOLDER, 'rekeyd.service'), 'utf8');
const configText = readFileSync(join(FOLDER, 'rekeyd.yaml'), 'utf8');

const isThere = spawnSync('systemd-analyze', ['--version']).status === 0;
const LEFT_OUT = 'systemd-analyze is not on the PATH (Debian: apt-get install systemd)';

/** Of the highest that it may be. Systemd counts in tenths. */
const MOST_EXPOSED = 2.0;

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rekeyd-unit-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** With a Node.js and a program that this machine has. */
function analyze(args: readonly string[], text = unit) {
  const file = join(temporary(), 'rekeyd.service');
  writeFileSync(file, text.replace('/usr/bin/node', process.execPath));
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['--no-pager', ...args, file], { encoding: 'utf8' });
  return { status, said: `${stdout}${stderr}` };
}

const valuesOf = (setting: string) =>
  [...unit.matchAll(new RegExp(`^${setting}=(.*)$`, 'gm'))].map(([, value = '']) => value);

test('systemd knows every setting of the unit', ({ skip }) => {
  if (!isThere) skip(LEFT_OUT);
  const { status, said } = analyze(['verify']);
  expect(status, said).toBe(0);
  expect(said).not.toContain('rekeyd.service');
  const wrong = analyze(['verify'], unit.replace('ProtectClock=', 'ProtectClocks='));
  expect(wrong.said).toContain("'ProtectClocks'");
});

test('the unit is less exposed than 2.0', ({ skip }) => {
  if (!isThere) skip(LEFT_OUT);
  const security = (text: string) => {
    const { status, said } = analyze(['security', '--offline=yes', `--threshold=${MOST_EXPOSED * 10}`], text);
    return { status, exposure: Number(/Overall exposure level for \S+: ([\d.]+)/.exec(said)?.[1]) };
  };
  const { status, exposure } = security(unit);
  expect(status).toBe(0);
  expect(exposure).toBeLessThan(MOST_EXPOSED);
  const open = unit.replaceAll(/^(?:DynamicUser|SystemCallFilter|CapabilityBoundingSet|ProtectSystem)=.*\n/gm, '');
  expect(security(open).status).not.toBe(0);
});

test('the unit runs Node as the image does, and leaves time to stop', async () => {
  const [line = ''] = readFileSync(join(FOLDER, '../../src/cli.ts'), 'utf8').split('\n');
  const [malloc = '', , ...options] = line.replace('#!/usr/bin/env -S ', '').split(' ');
  expect(valuesOf('ExecStart')).toEqual([
    ['/usr/bin/node', ...options, '/opt/rekeyd/dist/src/cli.js', 'start'].join(' '),
  ]);
  expect(valuesOf('Environment')).toEqual([`REKEYD_CONFIG=/etc/rekeyd/rekeyd.yaml ${malloc}`]);
  expect(valuesOf('LimitCORE')).toEqual(['0']);
  const { shutdownGraceMs } = await read(temporary());
  expect(Number(valuesOf('TimeoutStopSec')[0]) * 1000).toBeGreaterThan(shutdownGraceMs);
});

/** The config, with credentials that are there, and a group that this machine has. */
function read(folder: string) {
  writeFileSync(join(folder, 'rekeyd_kek'), Buffer.alloc(32, 7).toString('base64url'));
  writeFileSync(join(folder, 'wacht_api_key'), 'a-key');
  const text = configText
    .replaceAll('/run/credentials/rekeyd.service', folder)
    .replace('group: rekeyd-keys', 'group: 1000');
  return parseConfig(text, { file: join(folder, 'rekeyd.yaml'), env: {} });
}

test('the config beside it is valid, and names the credentials, the folder and the group of the unit', async () => {
  const { warnings, dataDir, sinks } = await read(temporary());
  expect(warnings).toEqual([]);
  const credentials = valuesOf('LoadCredential').map((value) => value.split(':')[0]);
  const named = [...configText.matchAll(/file:\/run\/credentials\/rekeyd\.service\/(\w+)/g)].map(([, name]) => name);
  expect(named).toEqual(credentials);
  expect(dataDir).toBe(`/var/lib/${valuesOf('StateDirectory')[0]}`);
  expect(sinks).toMatchObject([{ kind: 'directory', path: `${dataDir}/keys` }]);
  const application = readFileSync(join(FOLDER, 'application.conf'), 'utf8');
  for (const group of [parse(configText).sinks[0].group, /^SupplementaryGroups=(.*)$/m.exec(application)?.[1]]) {
    expect(valuesOf('SupplementaryGroups')).toEqual([group]);
  }
});

test('a command runs as the user of the service, in its groups, and sees its files', async ({ skip }) => {
  if (!canMount()) skip('this process may not mount, as systemd does for a service');
  const folder = temporary();
  chmodSync(folder, 0o755);
  // A service whose /mnt is its own, and a systemctl that knows its process.
  const inside = `mount -t tmpfs tmpfs /mnt && touch /mnt/credential && echo ready && exec setpriv --reuid 4711 --regid 4712 --groups 4712,4713 sleep 60`;
  const service = spawn('unshare', ['--mount', 'sh', '-c', inside], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void service.kill('SIGKILL'));
  await once(service.stdout, 'data');
  const script = readFileSync(join(FOLDER, 'rekeyd'), 'utf8');
  const program = 'sh -c "id -u; id -g; id -G; ls /mnt; echo \\$REKEYD_CONFIG \\$*" sh';
  writeFileSync(
    join(folder, 'rekeyd'),
    script.replace(/\/usr\/bin\/node \S+/, () => program),
    { mode: 0o755 },
  );
  writeFileSync(join(folder, 'systemctl'), `#!/bin/sh\necho "$MAIN_PID"\n`, { mode: 0o755 });
  const command = (pid: number) => {
    const env = { PATH: `${folder}:${process.env.PATH}`, MAIN_PID: `${pid}` };
    return spawnSync(join(folder, 'rekeyd'), ['status', '--json'], { encoding: 'utf8', env });
  };
  await until('the service has changed its user', () => command(service.pid ?? 0).stdout.startsWith('4711'));
  const { status, stdout, stderr } = command(service.pid ?? 0);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toBe('4711\n4712\n4712 4713\ncredential\n/etc/rekeyd/rekeyd.yaml status --json\n');
  expect(command(0)).toMatchObject({ status: 3, stderr: expect.stringContaining('systemctl start rekeyd') });
});
