import { describe, expect, test } from 'vitest';
import { backportsList, type Machine, planAptInstall, planServer } from './install-plan.ts';

function machine(rights: Machine['rights'], ...programs: string[]): Machine {
  return { rights, programs: new Set(programs) };
}

/** A plan as a person would read it: one command a line. */
function read(plan: ReturnType<typeof planServer> | ReturnType<typeof planAptInstall>): string[] {
  if (plan === null) return ['nothing'];
  if (plan.kind === 'present') return ['present'];
  if (plan.kind === 'ask') return [plan.hint];
  return [...(plan.refresh === null ? [] : [plan.refresh]), ...plan.tries].map((command) => command.join(' '));
}

const APT = 'env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 RUNLEVEL=1 apt-get';
const INSTALL = '-y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends install';

describe('the plan for a server', () => {
  test.each<[string, Machine, string[]]>([
    ['nothing with valkey-server on PATH', machine('root', 'apt-get', 'valkey-server'), ['present']],
    ['nothing with redis-server on PATH', machine('none', 'redis-server'), ['present']],
    [
      'apt-get as root, Valkey first',
      machine('root', 'apt-get'),
      [`${APT} -qq update`, `${APT} ${INSTALL} valkey-server`, `${APT} ${INSTALL} redis-server`],
    ],
    [
      'apt-get through sudo, which would drop variables set outside of it',
      machine('sudo', 'apt-get'),
      [
        `sudo -n ${APT} -qq update`,
        `sudo -n ${APT} ${INSTALL} valkey-server`,
        `sudo -n ${APT} ${INSTALL} redis-server`,
      ],
    ],
    ['apk', machine('root', 'apk'), ['apk add --no-cache --quiet valkey', 'apk add --no-cache --quiet redis']],
    ['dnf', machine('sudo', 'dnf'), ['sudo -n dnf install -y -q valkey', 'sudo -n dnf install -y -q redis']],
    ['brew without sudo', machine('sudo', 'brew'), ['brew install --quiet valkey', 'brew install --quiet redis']],
    ['brew without any rights', machine('none', 'brew'), ['brew install --quiet valkey', 'brew install --quiet redis']],
    ['a hint for brew as root, which refuses', machine('root', 'brew'), ['type: brew install valkey']],
    ['a hint for apt-get without rights', machine('none', 'apt-get'), ['type: sudo apt-get install redis-server']],
    ['a hint for apk without rights', machine('none', 'apk'), ['type: sudo apk add valkey']],
    [
      'a hint without any package manager',
      machine('root'),
      ['put valkey-server, or redis-server 6.2 or newer, on PATH'],
    ],
  ])('is %s', (_, given, expected) => {
    expect(read(planServer(given))).toEqual(expected);
  });
});

describe('the plan for one particular program', () => {
  test.each(['redis-server', 'prometheus', 'chromium'] as const)(
    'uses the machine’s own package sources: %s',
    (program) => {
      expect(read(planAptInstall(machine('root', 'apt-get'), program))).toEqual([
        `${APT} -qq update`,
        `${APT} ${INSTALL} ${program}`,
      ]);
    },
  );

  test('with a folder aside, leaves the machine’s sources, lists and caches alone in every command', () => {
    const aside =
      '-o Dir::Etc::SourceList=/t/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=/t/lists -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=';
    expect(read(planAptInstall(machine('root', 'apt-get'), 'valkey-server', '/t'))).toEqual([
      `${APT} ${aside} -qq update`,
      `${APT} ${aside} ${INSTALL} valkey-server`,
    ]);
  });

  test.each([machine('none', 'apt-get'), machine('root', 'dnf')])(
    'is nothing without apt-get or the right to use it',
    (given) => {
      expect(planAptInstall(given, 'valkey-server')).toBeNull();
    },
  );
});

describe('the source list with backports', () => {
  const sources = [
    'http://mirror.test/debian-security/ bookworm-security main',
    'http://mirror.test/debian/ bookworm contrib',
    'http://mirror.test/debian/ bookworm main',
    '',
  ].join('\n');

  test('takes the mirror that the machine uses for its release', () => {
    expect(backportsList(sources, 'bookworm', '/k.gpg')).toBe(
      'deb [signed-by=/k.gpg] http://mirror.test/debian/ bookworm main\ndeb [signed-by=/k.gpg] http://mirror.test/debian/ bookworm-backports main\n',
    );
  });

  test('is null for a release that the machine has no mirror for', () => {
    expect(backportsList(sources, 'trixie', '/k.gpg')).toBeNull();
  });
});
