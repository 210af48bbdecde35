import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import packageFile from '../../package.json' with { type: 'json' };
import lockFile from '../../package-lock.json' with { type: 'json' };

interface Locked {
  readonly version?: string;
  readonly dev?: boolean;
}

/** Optional, for other platforms than the lockfile was made on: docs/decisions/0004. */
const WITHOUT_HASH = /^@msgpackr-extract\/msgpackr-extract-(darwin|win32|linux-arm$)/;

test('the bill of materials has each package that is deployed, and no other', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const bom = JSON.parse(execFileSync('npm', ['run', '-s', 'sbom'], { cwd: root, encoding: 'utf8' }));
  expect(bom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: packageFile.name } } });
  const packages: [string, Locked][] = Object.entries(lockFile.packages);
  const deployed = packages.filter(([path, { dev }]) => path !== '' && dev !== true);
  const nameOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const expected = new Set(deployed.map(([path, { version }]) => `${nameOf(path)}@${version}`));
  const refs: string[] = bom.components.map(
    ({ name, version }: { name: string; version: string }) => `${name}@${version}`,
  );
  expect(refs.toSorted()).toEqual([...expected].toSorted());
  for (const name of Object.keys(packageFile.dependencies)) expect(refs.join()).toContain(`${name}@`);
  const unhashed = bom.components.filter(({ hashes = [] }: { hashes?: unknown[] }) => hashes.length === 0);
  for (const { name } of unhashed) expect(name).toMatch(WITHOUT_HASH);
  const known = new Set(bom.components.map((component: { 'bom-ref': string }) => component['bom-ref']));
  const needed: string[] = bom.dependencies.flatMap(({ dependsOn }: { dependsOn: string[] }) => dependsOn);
  expect(needed.filter((ref) => !known.has(ref))).toEqual([]);
});
