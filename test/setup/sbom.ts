/** `npm run -s sbom`: a CycloneDX bill of materials of what is deployed, on every platform, from package-lock.json. */
import { execFileSync } from 'node:child_process';
import packageFile from '../../package.json' with { type: 'json' };
import { deployedOnly } from './bom.ts';

const listed = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 ** 2,
  stdio: ['ignore', 'pipe', 'inherit'],
});
process.stdout.write(`${JSON.stringify(deployedOnly(JSON.parse(listed), packageFile.name), null, 2)}\n`);
