/** Pure decisions of `redis.ts`: which commands bring a Redis-compatible server onto which machine. No process is started here. */

export type Command = readonly [program: string, ...args: string[]];

/** What a plan needs to know of a machine. */
export interface Machine {
  /** Which of {@link PROGRAMS} are on PATH. */
  readonly programs: ReadonlySet<string>;
  /** How packages may be installed: as root, through `sudo` without a password, or not by us. */
  readonly rights: 'root' | 'sudo' | 'none';
}

/** `refresh` first, when there is one; then the commands of `tries` in order until one succeeds. */
export interface Install {
  readonly kind: 'install';
  readonly refresh: Command | null;
  readonly tries: readonly Command[];
}

/** `ask`: we may not install, and `hint` says what a person can do. */
export type Plan = { readonly kind: 'present' } | Install | { readonly kind: 'ask'; readonly hint: string };

export const SERVERS = ['valkey-server', 'redis-server'] as const;
export type Server = (typeof SERVERS)[number];

/** What a full run of the tests has on PATH. Debian's packages are called as the programs are. */
export const FOR_CI = [...SERVERS, 'prometheus', 'chromium'] as const;
export type Program = (typeof FOR_CI)[number];

/** For people. */
export const NEEDS_WAITAOF = 'it takes valkey-server, or redis-server 7.2 or later';

/** Whether a server can say when a write is on disk. @param version what it prints with `--version` */
export function knowsWaitaof(server: Server, version: string): boolean {
  const [, major = 0, minor = 0] = (/ v=(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  return server === 'valkey-server' ? major > 0 : major > 7 || (major === 7 && minor >= 2);
}

interface Manager {
  readonly program: string;
  readonly refresh: readonly string[] | null;
  readonly install: readonly string[];
  /** The better one first: Valkey has WAITAOF in every version. */
  readonly packages: readonly string[];
  /** One command that works on every release of the system. */
  readonly typed: string;
}

/** With the time-out dpkg waits for another apt, such as unattended upgrades, instead of failing at once. */
const APT_REFRESH = ['-qq', 'update'];
const APT_INSTALL = ['-y', '-qq', '-o', 'DPkg::Lock::Timeout=120', '--no-install-recommends', 'install'];

const MANAGERS: readonly Manager[] = [
  {
    program: 'apt-get',
    refresh: APT_REFRESH,
    install: APT_INSTALL,
    packages: SERVERS,
    typed: 'sudo apt-get install redis-server',
  },
  {
    program: 'apk',
    refresh: null,
    install: ['add', '--no-cache', '--quiet'],
    packages: ['valkey', 'redis'],
    typed: 'sudo apk add valkey',
  },
  {
    program: 'dnf',
    refresh: null,
    install: ['install', '-y', '-q'],
    packages: ['valkey', 'redis'],
    typed: 'sudo dnf install valkey',
  },
  {
    program: 'brew',
    refresh: null,
    install: ['install', '--quiet'],
    packages: ['valkey', 'redis'],
    typed: 'brew install valkey',
  },
];

export const PROGRAMS: readonly string[] = [...FOR_CI, ...MANAGERS.map((manager) => manager.program)];

/**
 * Debian's packages start their service when they are installed. The last two keep that from happening without a change to the machine's
 * own policy: systemctl ignores `start` when it is told that systemd is offline, and invoke-rc.d starts nothing in runlevel 1.
 */
const APT_ENVIRONMENT = ['DEBIAN_FRONTEND=noninteractive', 'SYSTEMD_OFFLINE=1', 'RUNLEVEL=1'];

function withRights(machine: Machine, program: string, args: readonly string[]): Command {
  // Homebrew installs into its owner's folder and refuses to run as root.
  if (program === 'brew') return [program, ...args];
  const command: Command = program === 'apt-get' ? ['env', ...APT_ENVIRONMENT, program, ...args] : [program, ...args];
  return machine.rights === 'sudo' ? ['sudo', '-n', ...command] : command;
}

function mayInstall(machine: Machine, program: string): boolean {
  return program === 'brew' ? machine.rights !== 'root' : machine.rights !== 'none';
}

/** The way to at least one server. */
export function planServer(machine: Machine): Plan {
  if (SERVERS.some((server) => machine.programs.has(server))) return { kind: 'present' };
  const manager = MANAGERS.find(({ program }) => machine.programs.has(program));
  if (manager === undefined) {
    return { kind: 'ask', hint: 'put valkey-server, or redis-server 6.2 or newer, on PATH' };
  }
  const { program, refresh, install, packages, typed } = manager;
  if (!mayInstall(machine, program)) return { kind: 'ask', hint: `type: ${typed}` };
  return {
    kind: 'install',
    refresh: refresh === null ? null : withRights(machine, program, refresh),
    tries: packages.map((name) => withRights(machine, program, [...install, name])),
  };
}

/**
 * The way to one particular program on Debian and its kin; null when this machine has no apt-get or we may not use it. With `aside`, a folder
 * that holds a `sources.list`, apt reads and writes its sources and lists only there: the machine's own stay as they are.
 */
export function planAptInstall(machine: Machine, program: Program, aside?: string): Install | null {
  if (!machine.programs.has('apt-get') || !mayInstall(machine, 'apt-get')) return null;
  const options = aside === undefined ? [] : optionsAside(aside);
  return {
    kind: 'install',
    refresh: withRights(machine, 'apt-get', [...options, ...APT_REFRESH]),
    tries: [withRights(machine, 'apt-get', [...options, ...APT_INSTALL, program])],
  };
}

function optionsAside(folder: string): string[] {
  return [
    `Dir::Etc::SourceList=${folder}/sources.list`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::Lists=${folder}/lists`,
    'Dir::Cache::pkgcache=',
    'Dir::Cache::srcpkgcache=',
  ].flatMap((option) => ['-o', option]);
}

/** For `apt-get indextargets --format`, which tells the machine's package sources one a line. {@link backportsList} reads them. */
export const APT_SOURCE_FORMAT = '$(REPO_URI) $(CODENAME) $(COMPONENT)';

/**
 * A `sources.list` of a release and its backports, both from the mirror that the machine uses already; null when it has none for that
 * release. It names the release too because packages of backports need packages of the release.
 */
export function backportsList(sources: string, codename: string, keyring: string): string | null {
  const rows = sources.split('\n').map((line) => line.trim().split(/\s+/));
  const mirror = rows.find(([, name, component]) => name === codename && component === 'main')?.[0];
  if (mirror === undefined) return null;
  return [codename, `${codename}-backports`]
    .map((suite) => `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`)
    .join('');
}
