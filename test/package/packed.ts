/** The packages of a working tree, made in a copy of what that takes: the tree stays as it is. */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from '../deploy/rehearsal.ts';

const repository = join(import.meta.dirname, '../..');

const SIGNER = ['package.json', 'tsconfig.json', 'src/signer', 'clients/node'];

const BOTH = [
  ...SIGNER,
  'tsconfig.build.json',
  'package-lock.json',
  '.npmrc',
  'src',
  'jobs',
  'docs',
  'deploy',
  'README.md',
  'LICENSE',
  'rekeyd.example.yaml',
  'test/setup',
];

function copied(paths: readonly string[], folder: string): string {
  const copy = join(folder, 'copy');
  for (const path of paths) {
    cpSync(join(repository, path), join(copy, path), {
      recursive: true,
      filter: (file) => !/\/(?:dist|node_modules)$|\.tgz$/.test(file),
    });
  }
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** `@rekeyd/signer` alone. @param folder empty @returns the path of the tarball */
export function packSigner(folder: string): string {
  run('npm', ['pack', '--pack-destination', folder], join(copied(SIGNER, folder), 'clients/node'));
  return tarball(folder, 'rekeyd-signer-');
}

/** What `npm run release` makes. @param folder empty @returns the folder with all of it */
export function release(folder: string): string {
  const made = join(folder, 'release');
  mkdirSync(made);
  // As somebody whose files are closed to all others.
  const script = 'umask 077 && exec "$0" test/setup/release.ts "$1"';
  run('sh', ['-c', script, process.execPath, made], copied(BOTH, folder));
  return made;
}

export function tarball(folder: string, prefix: string): string {
  const [name] = globSync(`${prefix}[0-9]*.tgz`, { cwd: folder });
  if (name === undefined) throw new Error(`${folder} has no ${prefix}*.tgz`);
  return join(folder, name);
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
