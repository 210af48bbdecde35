/**
 * Makes sure that this machine has a Redis-compatible server, before the demo and the tests. Instant and silent when one is on PATH.
 * `--all` (for CI) also tries to have both valkey-server and redis-server, Prometheus and Chromium; it fails where neither server on PATH knows WAITAOF.
 */
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import {
  APT_SOURCE_FORMAT,
  backportsList,
  type Command,
  FOR_CI,
  type Install,
  knowsWaitaof,
  type Machine,
  NEEDS_WAITAOF,
  PROGRAMS,
  type Program,
  planAptInstall,
  planServer,
  SERVERS,
} from './install-plan.ts';

const isForCi = process.argv.includes('--all');

const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function inspect(): Machine {
  const programs = new Set(PROGRAMS.filter(onPath));
  // Nothing will be installed then, and asking sudo could write to the machine's log.
  if ((isForCi ? FOR_CI : SERVERS).every((program) => programs.has(program))) return { programs, rights: 'none' };
  if (process.getuid?.() === 0) return { programs, rights: 'root' };
  const sudo = onPath('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  return { programs, rights: sudo ? 'sudo' : 'none' };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Null when the command succeeded, else what it said. */
function complaint([program, ...args]: Command): string | null {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined) return error.message;
  return status === 0 ? null : `${stdout}${stderr}`.trim();
}

/** Null once something is installed, else what each command said. A failed refresh is no reason to stop: the lists may be fresh enough. */
function install({ refresh, tries }: Install): string[] | null {
  const complaints = refresh === null ? [] : [complaint(refresh)];
  for (const command of tries) {
    const said = complaint(command);
    if (said === null) return null;
    complaints.push(said);
  }
  return complaints.filter((text) => text !== null);
}

function ensureOne(machine: Machine): boolean {
  const plan = planServer(machine);
  if (plan.kind === 'present') return true;
  if (plan.kind === 'ask') {
    say(`No Redis-compatible server on PATH. The demo and the tests start their own: ${plan.hint}`);
    return false;
  }
  say('No Redis-compatible server on PATH: installing one with the system package manager.');
  const complaints = install(plan);
  if (complaints === null) return true;
  say(`It could not be installed. Put valkey-server or redis-server on PATH yourself.\n${complaints.join('\n')}`);
  return false;
}

/** Installs a program that the release's own archive may lack (Debian 12 has Valkey in backports only). */
function installOther(machine: Machine, program: Program): boolean {
  const plan = planAptInstall(machine, program);
  if (plan === null) return false;
  if (install(plan) === null) return true;
  if (!existsSync(DEBIAN_KEYRING)) return false;
  const aside = mkdtempSync(join(tmpdir(), 'rekeyd-apt-'));
  try {
    const sources = spawnSync('apt-get', ['indextargets', '--format', APT_SOURCE_FORMAT], { encoding: 'utf8' }).stdout;
    const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? '';
    const list = backportsList(sources, codename, DEBIAN_KEYRING);
    if (list === null) return false;
    writeFileSync(join(aside, 'sources.list'), list);
    // apt makes its usual folder of lists by itself, but not another one.
    mkdirSync(join(aside, 'lists', 'partial'), { recursive: true });
    const fromBackports = planAptInstall(machine, program, aside);
    return fromBackports !== null && install(fromBackports) === null;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function ensureAll(machine: Machine): void {
  for (const program of FOR_CI) {
    if (machine.programs.has(program)) continue;
    const isThere = installOther(machine, program);
    say(isThere ? `Installed ${program}.` : `Note: no ${program}; tests that need it are left out.`);
  }
}

/** Without it a large part of the tests would be left out, and nobody would look. */
function ensureWaitaof(): boolean {
  const found = SERVERS.filter(onPath).map((server) => ({
    server,
    version: spawnSync(server, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '',
  }));
  if (found.some(({ server, version }) => knowsWaitaof(server, version))) return true;
  const there = found.length === 0 ? 'nothing' : found.map(({ version }) => version).join(', ');
  say(`No server with WAITAOF can be had: ${NEEDS_WAITAOF}. On PATH there is ${there}. Install one.`);
  return false;
}

const machine = inspect();
if (isForCi) ensureAll(machine);
const isReady = ensureOne(inspect()) && (!isForCi || ensureWaitaof());
if (!isReady) process.exitCode = 1;
