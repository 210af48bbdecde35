import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { type FolderKey, type KeySet, openBareFolder } from './bare-folder.ts';
import { activeSet, firstSet, lastSet, nextSet } from './bare-sets.ts';

const root = await mkdtemp(join(tmpdir(), 'rekeyd-bare-folder-'));
afterEach(() => rm(root, { recursive: true, force: true }));

/** Text by name of what a signer finds, but for the time. */
function found(path: string): Readonly<Record<string, string>> {
  const files = readdirSync(path, { withFileTypes: true }).filter((entry) => /\.(json|pem)$/.test(entry.name));
  return Object.fromEntries(
    files.map(({ name }) => [name, readFileSync(join(path, name), 'utf8').replace(/"updated_at": "[^"]*"/, '')]),
  );
}

function folderKey(key: SinkKey): FolderKey {
  return { ...key, privateKey: key.privateKey.keyObject() };
}

test('the bare loop leaves the files of the sink, delivery by delivery', async () => {
  const [old, fresh] = [await sinkKey(), await sinkKey()];
  const bare = { old: folderKey(old), fresh: folderKey(fresh) };
  const about = { client: '4711', clientId: 'client-4711', issuer: 'https://auth.example.com' };
  const deliveries: readonly (readonly [Partial<SinkContents>, KeySet])[] = [
    [{ current: old }, firstSet(about, bare.old)],
    [{ current: old, next: fresh }, nextSet(about, bare.old, bare.fresh)],
    [{ current: fresh, previous: old }, activeSet(about, bare.old, bare.fresh)],
    [{ current: fresh }, lastSet(about, bare.fresh)],
  ];
  const app = join(root, 'bare');
  mkdirSync(app);
  const sink = directorySink(join(root, 'sink'));
  const folder = openBareFolder(app);
  try {
    for (const [keys, set] of deliveries) {
      await sink.deliver(contents(keys));
      await folder.deliver('4711', set);
      const delivered = found(join(root, 'sink', '185019846023', 'mcp-auth', '4711'));
      expect(found(join(app, '4711'))).toEqual(delivered);
      expect(Object.keys(delivered)).toContain('current.jwk.json');
    }
    expect(readdirSync(join(app, '.4711'))).toHaveLength(1);
  } finally {
    sink.close();
    await folder.close();
  }
});
