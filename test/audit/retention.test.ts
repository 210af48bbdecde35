/** Every entry reaches every export before it is cut, also when a worker dies or an export fails; and what is left is a log that can be sealed and verified. */
import { hash, randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ExportNews } from '../../src/audit/exporting.ts';
import type { FolderExport } from '../../src/audit/exports/export.ts';
import { openExports } from '../../src/audit/exports/open.ts';
import { stdoutExport } from '../../src/audit/exports/stdout.ts';
import { type RetentionOptions, type RetentionStore, retain } from '../../src/audit/retention.ts';
import { Secret } from '../../src/config/secret.ts';
import type { AuditExportConfig } from '../../src/config/telling.ts';
import type { Store } from '../../src/store/store.ts';
import { mountSmallDisk } from '../faults/trouble/small-disk.ts';
import { twoStores } from '../store/fixtures.ts';
import { certificateFor } from '../support/certificates.ts';
import { redisKinds } from '../support/redis.ts';
import { openSink, startCollector, startSyslog } from './receivers.ts';
import { append, exported, grow, newFolder, sealerOf, verdict } from './sealing.ts';

const DAY = 86_400_000;
const STRAIGHT = { proxy: null, authorities: [] };
const folderAt = (path: string): AuditExportConfig => ({ kind: 'folder', name: 'folder', id: 'folder', path });
const httpsAt = (url: string): AuditExportConfig => ({
  ...{ kind: 'https', name: 'https', id: 'https@1', url },
  ...{ token: new Secret('t0ken'), route: STRAIGHT },
});

describe(`retention on ${redisKinds[0]}`, () => {
  const stores = twoStores(redisKinds[0] ?? 'redis');

  /** A worker. @param later by how much its store's clock is ahead, in ms: entries are that much older */
  function worker(places: readonly AuditExportConfig[], more: Partial<RetentionOptions> = {}) {
    const { store } = stores.opened;
    const news: string[] = [];
    const tell: ExportNews = {
      fails: (name, why) => void news.push(`${name} fails: ${why}`),
      goesOn: (name) => void news.push(`${name} goes on`),
      broken: (name, checkpoint) => void news.push(`${name}: checkpoint ${checkpoint} is broken`),
      missed: (name, from, to) => void news.push(`${name} misses ${from}-${to}`),
    };
    const stdout = openSink();
    const exports = openExports(
      { keepMs: 0, mostBytes: 0, exports: places },
      {
        ...{ source: store, stdout: stdout.stream, onBroken: tell.broken },
      },
    );
    const options: RetentionOptions = {
      ...{ keepMs: 90 * DAY, mostBytes: 200 * 1024 ** 2, exports, holder: randomUUID(), tell },
      ...{ hanging: new Map(), signal: new AbortController().signal, neededFrom: async () => null },
      ...more,
    };
    const run = (later = 0, over: Partial<RetentionStore> = {}) =>
      retain({ ...store, now: async () => (await store.now()) + later, ...over }, options);
    return { run, news, stdout, options };
  }

  /** Appends, and seals with one sealer, so that none waits for another's lease. */
  const sealers = new WeakMap<object, ReturnType<typeof sealerOf>>();
  async function sealed(store: Store, counts: readonly number[]): Promise<void> {
    const seal = sealers.get(store) ?? sealerOf(store);
    sealers.set(store, seal);
    await grow(store, counts, seal);
  }

  const textIn = async (dir: string) => {
    const names = (await readdir(dir)).filter((name) => name.endsWith('.jsonl')).sort();
    return (await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')))).join('');
  };
  /** With the last checkpoint. */
  const sizeOf = async () => (await stores.opened.store.sealedSize()).checkpointSeq;
  const first = async () => (await stores.opened.store.logExtent()).first;

  it('exports to all places what is sealed, cuts what is old, and leaves a chain that goes on', async () => {
    const { store } = stores.opened;
    const [dir, collector, syslog] = [await newFolder(), await startCollector(), await startSyslog()];
    const places: AuditExportConfig[] = [
      folderAt(dir),
      { kind: 'stdout', name: 'stdout', id: 'stdout' },
      {
        ...{ kind: 'syslog', name: 'syslog', id: 'syslog@1', host: '127.0.0.1' },
        port: syslog.port,
        tls: false,
        authorities: [],
      },
      httpsAt(collector.url),
    ];
    const { run, stdout, news } = worker(places);
    await sealed(store, [400, 400, 300]);
    await append(store, 5); // not sealed: they stay here
    const size = await sizeOf();
    expect(await run()).toMatchObject({ exported: { stdout: size, syslog: size, https: size }, cut: 0 });
    expect(await readdir(dir)).not.toContain('audit-000000000001.jsonl'); // no file for each minute
    const done = await run(91 * DAY);
    expect(news).toEqual([]);
    expect(done?.exported).toMatchObject({ folder: size });
    const written = await textIn(dir);
    expect(written.split('\n')).toHaveLength(size + 1);
    // As hashes: a difference of a thousand lines helps nobody.
    const digest = (text: string) => hash('sha256', text);
    expect(digest(stdout.text())).toBe(digest(written));
    expect(digest(collector.posts.map(({ body }) => body).join(''))).toBe(digest(written));
    expect(collector.posts[0]?.headers).toMatchObject({
      ...{ authorization: 'Bearer t0ken', 'content-type': 'application/x-ndjson' },
      ...{ 'rekeyd-audit-first': '1', 'rekeyd-audit-last': '500', 'idempotency-key': `${store.id}-1` },
    });
    const line = /^<110>1 \S+Z \S+ rekeyd - \S+ \[meta sequenceId="\d+"\] (.*)$/s;
    expect(digest(syslog.messages.map((text) => `${line.exec(text)?.[1]}\n`).join(''))).toBe(digest(written));
    // The last checkpoint that covers what was cut stays, and the entries after it.
    expect(await first()).toBe(done ? done.cut + 1 : 0);
    expect(done?.cut).toBe((await store.auditTail(20)).find(({ type }) => type === 'audit.sealed')?.data.seq);
    await sealed(store, [10]);
    expect(await verdict(await exported(store))).toMatchObject({ first: await first() });
    await run(91 * DAY);
    expect(await verdict(dir)).toMatchObject({ first: 1, sealed: (await sizeOf()) - 1, last: await sizeOf() });
  });

  it('cuts nothing that an export or a webhook does not have yet, and an export that fails stops no other', async () => {
    const { store } = stores.opened;
    const [dir, collector] = [await newFolder(), await startCollector()];
    await sealed(store, [40, 40, 40]);
    let needed: number | null = 50;
    const { run, news } = worker([folderAt(dir), httpsAt(collector.url)], { neededFrom: async () => needed });
    collector.statuses.push(500, 503);
    for (const _ of [1, 2])
      expect(await run(91 * DAY)).toMatchObject({ exported: { https: 0, folder: await sizeOf() }, cut: 0 });
    expect(news).toEqual([expect.stringMatching(/^https fails: .* answers 500/), expect.stringMatching(/answers 503/)]);
    const failing = (await store.exportProgress()).get('https@1')?.failing;
    expect(failing).toMatchObject({ why: expect.stringContaining('503') });
    // It is back, and gets the same batch once more; the webhook is at entry 50.
    expect(await run(91 * DAY)).toMatchObject({ cut: 41 });
    expect(news.at(-1)).toBe('https goes on');
    const [one, two, three] = collector.posts;
    expect([two?.body, three?.body]).toEqual([one?.body, one?.body]);
    needed = null;
    expect(await run(91 * DAY)).toMatchObject({ cut: (await sizeOf()) - 42 });
  });

  it('sends a batch again as it was after a worker that died before it was noted, though more is sealed by then', async () => {
    const { store } = stores.opened;
    const collector = await startCollector();
    await sealed(store, [10]);
    const dying = worker([httpsAt(collector.url)]);
    let notes = 0;
    const noteExport: RetentionStore['noteExport'] = async (...args) => {
      notes += 1;
      if (notes === 3) throw new Error('killed');
      return store.noteExport(...args);
    };
    await dying.run(0, { noteExport }).catch(() => {});
    await store.leaveRetention(dying.options.holder);
    await sealed(store, [10]);
    await worker([httpsAt(collector.url)]).run();
    const [sent, again, next] = collector.posts;
    expect(again).toEqual({ ...sent, headers: expect.objectContaining({ 'rekeyd-audit-first': '1' }) });
    expect(again?.body).toBe(sent?.body);
    expect(next?.headers['rekeyd-audit-first']).toBe(String(sent?.body.split('\n').length ?? 0));
  });

  it('loses nothing, and sends nothing that differs, though a worker dies before and after each of its steps', async () => {
    const { store } = stores.opened;
    const [dir, collector] = [await newFolder(), await startCollector()];
    const places = [folderAt(dir), httpsAt(collector.url)];
    let deaths = 0;
    // Twice each: what an export notes first, it notes once.
    for (let turn = 2, isOver = false; !isOver; turn += 1) {
      const at = Math.floor(turn / 2);
      await sealed(store, [3]);
      let steps = 0;
      const step = () => {
        steps += 1;
        if (steps >= at) throw new Error('killed');
      };
      const killing = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
        return async (...args: A) => {
          step();
          const result = await work(...args);
          step();
          return result;
        };
      };
      const { run, options } = worker(places, { keepMs: 0 });
      const over = {
        holdRetention: killing(store.holdRetention),
        noteExport: killing(store.noteExport),
        cutAudit: killing(store.cutAudit),
      };
      isOver = await run(0, over).then(
        (done) => done !== null && steps < at,
        () => false,
      );
      deaths += isOver ? 0 : 1;
      await store.leaveRetention(options.holder);
    }
    expect(deaths).toBeGreaterThan(30);
    expect(await worker(places, { keepMs: 0 }).run()).toMatchObject({ exported: { folder: await sizeOf() } });
    const sent = new Map<unknown, string>();
    for (const { headers, body } of collector.posts) {
      const key = headers['idempotency-key'];
      expect(sent.get(key) ?? body).toBe(body);
      sent.set(key, body);
    }
    expect(collector.posts.length).toBeGreaterThan(sent.size);
    expect([...sent.values()].join('')).toBe(await textIn(dir));
    expect(await verdict(dir)).toMatchObject({ first: 1, last: await sizeOf() });
  });

  it('one worker at a time does it, and one that was overtaken can neither note nor cut', async () => {
    const { store } = stores.opened;
    await sealed(store, [20]);
    const [dir, collector] = [await newFolder(), await startCollector()];
    const [mine, other] = [worker([folderAt(dir)]), worker([httpsAt(collector.url)])];
    expect(await mine.run(91 * DAY)).toMatchObject({ cut: 21 });
    expect(await other.run()).toBeNull();
    const fence = await store.holdRetention(mine.options.holder, 60_000);
    await store.leaveRetention(mine.options.holder);
    expect(await other.run()).not.toBeNull();
    expect(await store.noteExport(fence, 'folder', null, null)).toBe(false);
    expect(await store.cutAudit(fence, 22, ['folder'])).toBeNull();
  });

  it('two workers that write one folder at once write each entry once', async () => {
    const { store } = stores.opened;
    const dir = await newFolder();
    await sealed(store, [300]);
    const both = [worker([folderAt(dir)]), worker([folderAt(dir)])];
    // As if the lease of the first had ended while it still writes.
    const hold = vi.fn(async () => 1);
    await Promise.all(both.map(({ run }) => run(2 * 3_600_000, { holdRetention: hold, noteExport: async () => true })));
    expect(
      (await textIn(dir))
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).seq),
    ).toEqual(Array.from({ length: await sizeOf() }, (_, index) => index + 1));
  });

  it('keeps the log below `most`, as Redis itself measures it', async () => {
    const { store, redis } = stores.opened;
    const mostBytes = 1024 ** 2;
    const { run } = worker([folderAt(await newFolder())], { mostBytes });
    const measured = async () => Number(await redis.memory('USAGE', store.keys.audit, 'SAMPLES', 0));
    await sealed(store, Array(20).fill(400));
    const { bytes } = await store.logExtent();
    expect(await measured()).toBeGreaterThan(mostBytes);
    expect(bytes / (await measured())).toBeGreaterThan(0.95);
    expect(bytes / (await measured())).toBeLessThan(1.2);
    await run();
    expect(await measured()).toBeLessThan(mostBytes);
    expect(await measured()).toBeGreaterThan(mostBytes / 2);
  });

  it('a folder that is not the one from before gets nothing, and nothing is cut', async () => {
    const { store } = stores.opened;
    const dir = await newFolder();
    const { run, news } = worker([folderAt(dir)]);
    await sealed(store, [20]);
    await run(2 * 3_600_000);
    await sealed(store, [20]);
    await rename(dir, `${dir}-unmounted`);
    // What it had got is cut, and no more.
    expect(await run(91 * DAY)).toMatchObject({ exported: { folder: 22 }, cut: 21 });
    expect(news).toEqual([expect.stringMatching(/is not the folder that was exported to before.*Mount that folder/)]);
    await rm(dir, { recursive: true, force: true });
    await rename(`${dir}-unmounted`, dir);
    expect(await run(91 * DAY)).toMatchObject({ exported: { folder: await sizeOf() }, cut: (await sizeOf()) - 22 });
  });

  // Only root may mount a disk.
  it.skipIf(process.getuid?.() !== 0)(
    'a folder on a full disk gets nothing half, and the rest once there is room',
    async () => {
      const { store } = stores.opened;
      const dir = await newFolder();
      const disk = await mountSmallDisk(dir, '256k');
      onTestFinished(() => disk.unmount());
      const { run, news } = worker([folderAt(dir)]);
      await sealed(store, [20]);
      await disk.fill();
      expect(await run(91 * DAY)).toMatchObject({ exported: { folder: 0 }, cut: 0 });
      expect(news).toEqual([expect.stringContaining('folder fails: ')]);
      expect((await readdir(dir)).filter((name) => name.endsWith('.jsonl'))).toEqual([]);
      await disk.empty();
      expect(await run(91 * DAY)).toMatchObject({ exported: { folder: await sizeOf() }, cut: 21 });
      expect(await verdict(dir)).toMatchObject({ first: 1, last: await sizeOf() });
    },
  );

  it('a folder that hangs is not asked a second time, and holds up no other export', async () => {
    const { store } = stores.opened;
    await sealed(store, [20]);
    const hanging = new Map([['folder', new Promise<never>(() => {})]]);
    const places: AuditExportConfig[] = [folderAt(await newFolder()), { kind: 'stdout', name: 'stdout', id: 'stdout' }];
    const { run, news } = worker(places, { hanging });
    expect(await run(91 * DAY)).toMatchObject({ exported: { folder: 0, stdout: await sizeOf() }, cut: 0 });
    expect(news).toEqual([expect.stringContaining('folder fails: the folder has not answered')]);
  });

  it('a folder or a reader that takes nothing for too long is said to be silent', async () => {
    const { store } = stores.opened;
    await sealed(store, [20]);
    const ask = AbortSignal.timeout.bind(AbortSignal);
    const soon = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => ask(10));
    onTestFinished(() => soon.mockRestore());
    const never = new Promise<never>(() => {});
    const folder: FolderExport = { kind: 'folder', name: 'folder', id: 'folder', write: () => never };
    const out = stdoutExport({ name: 'stdout', id: 'stdout' }, new Writable({ write() {} }));
    const { run, news } = worker([], { exports: [folder, out] });
    expect(await run(91 * DAY)).toMatchObject({ exported: { folder: 0, stdout: 0 }, cut: 0 });
    expect(news.sort()).toEqual([
      'folder fails: the folder has not answered for 60 s',
      'stdout fails: its reader has taken nothing for 30 s',
    ]);
  });

  it('a syslog server over TLS must have a certificate that is trusted, and one that hangs up fails the batch', async () => {
    const { store } = stores.opened;
    const own = certificateFor('IP:127.0.0.1');
    const syslog = await startSyslog(own);
    const place = (authorities: readonly string[]): AuditExportConfig => ({
      ...{ kind: 'syslog', name: 'syslog', id: 'syslog@1', host: '127.0.0.1' },
      ...{ port: syslog.port, tls: true, authorities },
    });
    await sealed(store, [20]);
    const stranger = worker([place([])]);
    expect(await stranger.run()).toMatchObject({ exported: { syslog: 0 } });
    expect(stranger.news).toEqual([expect.stringMatching(/self.signed/)]);
    await store.leaveRetention(stranger.options.holder);
    const { run, news } = worker([place([own.cert])]);
    syslog.refuse = true;
    await run();
    expect(syslog.messages).toEqual([]);
    syslog.refuse = false;
    expect(await run()).toMatchObject({ exported: { syslog: await sizeOf() } });
    expect(news.at(-1)).toBe('syslog goes on');
    expect(syslog.messages).toHaveLength(await sizeOf());
  });

  it('an export that was away while entries were cut says which it never gets', async () => {
    const { store } = stores.opened;
    const [dir, collector] = [await newFolder(), await startCollector()];
    await sealed(store, [20]);
    const both = worker([folderAt(dir), httpsAt(collector.url)]);
    await both.run();
    await store.leaveRetention(both.options.holder);
    await sealed(store, [20, 20]);
    const alone = worker([folderAt(dir)], { keepMs: 0 });
    await alone.run();
    await store.leaveRetention(alone.options.holder);
    const again = worker([folderAt(dir), httpsAt(collector.url)]);
    await sealed(store, [5]);
    await again.run();
    expect(again.news).toEqual([`https misses 23-${(await first()) - 1}`]);
    expect(collector.posts.at(-1)?.headers['rekeyd-audit-first']).toBe(String(await first()));
  });

  it('a log that was changed behind a checkpoint is exported as it is, and said to be', async () => {
    const { store, redis } = stores.opened;
    await sealed(store, [20, 20]);
    const entries = await redis.xrange(store.keys.audit, '-', '+');
    await redis.del(store.keys.audit);
    for (const [id, fields] of entries) {
      await redis.xadd(
        store.keys.audit,
        id,
        ...fields.map((field) => (id === '5-0' ? field.replace('entry', 'other') : field)),
      );
    }
    const { run, news, stdout } = worker([{ kind: 'stdout', name: 'stdout', id: 'stdout' }]);
    await run();
    expect(news).toEqual(['stdout: checkpoint 22 is broken']);
    expect(stdout.text()).toContain('other 4');
  });
});
