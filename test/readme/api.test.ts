/** The guide of the API: a person who types its lines one after the other gets what it says. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';

const GUIDE = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');
const CLI = join(import.meta.dirname, '../../src/cli.ts');
const hasCurl = spawnSync('curl', ['--version']).status === 0;

const blocks = [...GUIDE.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = '']) => text);

/** What each block prints, in order. The first keeps the token to itself. */
const PRINTS: readonly RegExp[] = [
  /^$/,
  /^\{"clients":\[\{"client":"185019846023\/mcp-auth\/[^"]+".*"next":null\}$/,
  /^\{"client":"185019846023\/mcp-auth\//,
  /^\{"request":"http-[^"]+","rotations":\[\{"id":"r[^"]+","client":"[^"]+","state":"(running|active)"\}\],"pending":false\}$/,
  /^\{"id":"r[^"]+",.*"actor":"token:siem","reason":"found in a public repository"/,
  /^id: \d+\nevent: rotation\.requested\ndata: .*event: rotation\.completed\ndata: [^\n]*$/s,
  /^\{"entries":\[\{"seq":1,.*"type":"api\.called".*"claimed_by":"token:siem".*"more":false\}$/,
  /^\{"keys":\[\{"kty":/,
  /^# HELP rekeyd_rotations_total .*^rekeyd_build_info\{version="[^"]+",node="[^"]+"\} 1$/ms,
];

test.skipIf(!hasCurl)('the lines of docs/api.md do what it says (skipped where there is no curl)', async () => {
  const app = { slug: 'mcp-auth', selection: 'first_pem' } as const;
  const fleet = await startFleet({ apps: [app], config: { http: { listen: '127.0.0.1:0' } } });
  const client = await fleet.managed(app);
  const { url } = await fleet.start({ http: true });
  writeFileSync(fleet.config.file, JSON.stringify(fleet.file));
  const bin = join(fleet.dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'rekeyd'), `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n`, { mode: 0o755 });

  expect(blocks).toHaveLength(PRINTS.length);
  const script = blocks
    .join('echo "=== next"\n')
    .replaceAll('http://127.0.0.1:8080', url ?? '')
    .replaceAll('185019846023/mcp-auth/4711', client.ref);
  const env = { ...fleet.env, PATH: `${bin}:${process.env.PATH}`, REKEYD_CONFIG: fleet.config.file };
  const typed = promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd: fleet.dir, env });
  const { stdout } = await typed;
  const printed = stdout.split('=== next\n').map((text) => text.trim());
  for (const [index, pattern] of PRINTS.entries()) expect(printed[index], blocks[index]).toMatch(pattern);
});
