/** Packs a package as `npm pack` does it in a clone, in a copy of what the build needs: the working tree stays as it is. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from '../deploy/rehearsal.ts';

const repository = join(import.meta.dirname, '../..');

/** Of the repository, for each package. */
const NEEDED = {
  rekeyd: [
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'src',
    'jobs',
    'docs',
    'deploy',
    'README.md',
    'LICENSE',
    'rekeyd.example.yaml',
  ],
  'clients/node': [
    'package.json',
    'tsconfig.json',
    'src/signer',
    ...readdirSync(join(repository, 'clients/node')).map(inNode),
  ],
};

function inNode(name: string): string {
  return `clients/node/${name}`;
}

/** @param folder empty @returns the path of the tarball */
export function pack(which: keyof typeof NEEDED, folder: string): string {
  const copy = join(folder, which.replace('/', '-'));
  mkdirSync(copy, { recursive: true });
  for (const path of NEEDED[which].filter((one) => !/^clients\/node\/(?:dist|.*\.tgz)$/.test(one))) {
    cpSync(join(repository, path), join(copy, path), { recursive: true });
  }
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'));
  const cwd = which === 'rekeyd' ? copy : join(copy, which);
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], cwd));
  return join(folder, packed.filename);
}

/** @returns stdout @throws Error with the output of a command that failed */
export function run(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...cleanEnvironment(), npm_config_prefer_offline: 'true', npm_config_fund: 'false', ...env },
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status ?? error}\n${stdout}${stderr}`);
  return stdout;
}
