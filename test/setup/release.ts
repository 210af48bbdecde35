/** `npm run release -- FOLDER`: both packages as they are published, their bills of materials, and the checksums of all of it. In a clean clone, the same bytes each time. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import signerFile from '../../clients/node/package.json' with { type: 'json' };
import packageFile from '../../package.json' with { type: 'json' };
import { deployedOnly, signerOnly } from './bom.ts';

const repository = join(import.meta.dirname, '../..');
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('say where to: npm run release -- FOLDER');
if (signerFile.version !== packageFile.version) throw new Error('the two packages have different versions');
const target = resolve(folder);
mkdirSync(target, { recursive: true });
if (readdirSync(target).length > 0) throw new Error(`${target} is not empty`);

const npm = (...args: readonly string[]) =>
  execFileSync('npm', args, {
    cwd: repository,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 ** 2,
  });

/** What is packed has the modes that the files have, and these follow from who made the clone. */
process.umask(0o022);
for (const packed of ['.', './clients/node']) {
  const [{ files }] = JSON.parse(npm('pack', packed, '--dry-run', '--json')); // compiles it, too
  for (const { path, mode } of files) chmodSync(join(repository, packed, path), mode & 0o100 ? 0o755 : 0o644);
}
npm('pack', '.', './clients/node', '--ignore-scripts', '--pack-destination', target);
const listed = JSON.parse(npm('sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'));
const { version } = packageFile;
const write = (name: string, bom: object) => writeFileSync(join(target, name), `${JSON.stringify(bom, null, 2)}\n`);
write(`rekeyd-${version}.cdx.json`, deployedOnly(listed, packageFile.name));
write(`rekeyd-signer-${version}.cdx.json`, signerOnly(listed, signerFile));

const sums = readdirSync(target)
  .sort()
  .map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(join(target, name)))
        .digest('hex')}  ${name}\n`,
  );
writeFileSync(join(target, 'SHA256SUMS'), sums.join(''));
process.stdout.write(sums.join(''));
