/**
 * Reads along with what Redis executes (MONITOR), and writes down each commit, claim and sealed key. It knows the store's keys by name only, and
 * none of its code.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { CommitEvent, History, SnapshotClient } from './history.ts';
import { monitor } from './monitor.ts';

const STORE = '{rekeyd}:store:';
const CLIENT = `${STORE}client:`;
const SEALED = `${STORE}sealed:`;
const ENDED = `${STORE}history:`;
const DEPLOYMENT = `${STORE}deployment:`;
const WAVE = `${STORE}wave:`;
const AUDIT = `${STORE}audit`;
const ID = `${STORE}id`;

export interface Watch {
  /** Call it before anybody else talks to a server that came back, or that takes the place of another one. */
  attach(to?: string): Promise<void>;
  close(): void;
}

/** One script under way: Redis shows it first, then what it does. */
interface Script {
  readonly args: readonly string[];
  readonly at: number;
  readonly drafts: string[];
  readonly ended: string[];
  commit: Pick<CommitEvent, 'ref' | 'version' | 'op' | 'record'> | null;
  /** It gave the store another name. */
  renamed: boolean;
}

/** How long the last words of a server that has ended may take, in ms. */
const LAST_WORDS_MS = 1_000;

export function watchStore(socketPath: string, history: History): Watch {
  let socket: Socket | null = null;
  let script: Script | null = null;

  function flush(): void {
    if (script === null) return;
    const { args, at, drafts, ended, commit, renamed } = script;
    script = null;
    if (renamed) history.note({ kind: 'store', what: 'declared', how: 'somebody goes on without the one before' }, at);
    if (commit === null) {
      for (const draft of drafts) history.note({ kind: 'loose_entry', draft }, at);
      return;
    }
    // EVAL text (or EVALSHA its name), number of keys, the keys, then: store, least size, operation, expected operation, expected claim.
    const first = 3 + Number(args[2]);
    const expected = { op: args[first + 3] ?? '', claim: args[first + 4] ?? '' };
    history.note({ kind: 'commit', ...commit, expected, ended, drafts }, at);
  }

  function onCommand(at: number, args: readonly string[], source: string): void {
    const name = (args[0] ?? '').toUpperCase();
    if (source === 'lua') {
      inspect(name, args, at);
      return;
    }
    flush();
    if (name === 'EVAL' || name === 'EVALSHA')
      script = { args, at, drafts: [], ended: [], commit: null, renamed: false };
    else if (name === 'FLUSHALL') history.note({ kind: 'store', what: 'lost', how: 'emptied' }, at);
    else inspect(name, args, at);
  }

  function inspect(name: string, args: readonly string[], at: number): void {
    const [, key = ''] = args;
    if (name === 'XADD' && key === AUDIT) {
      const draft = args.at(-1) ?? '';
      if (script === null) history.note({ kind: 'loose_entry', draft }, at);
      else script.drafts.push(draft);
    } else if (name === 'LPUSH' && key.startsWith(ENDED)) script?.ended.push(...args.slice(2));
    else if (name === 'SET' && key === ID && script !== null) script.renamed = true;
    else if (name === 'HSET') inspectHash(key, args.slice(2), at);
    else if (name === 'HDEL' && key.startsWith(SEALED)) {
      for (const kid of args.slice(2)) history.note({ kind: 'erased', ref: key.slice(SEALED.length), kid }, at);
    }
  }

  function inspectHash(key: string, pairs: readonly string[], at: number): void {
    const fields = fieldsOf(pairs);
    if (key.startsWith(SEALED)) {
      for (const kid of Object.keys(fields)) history.note({ kind: 'sealed', ref: key.slice(SEALED.length), kid }, at);
    } else if (key.startsWith(DEPLOYMENT) && fields.until !== undefined) {
      const deployment = key.slice(DEPLOYMENT.length);
      history.note({ kind: 'left_alone', deployment, until: Number(fields.until) }, at);
    } else if (key.startsWith(WAVE) && fields.first !== undefined) {
      const { id = '', found, first } = fields;
      history.note(
        { kind: 'wave', policy: key.slice(WAVE.length), id, found: Number(found), first: Number(first) },
        at,
      );
    } else if (key.startsWith(CLIENT)) inspectRecord(key.slice(CLIENT.length), fields, at);
  }

  function inspectRecord(ref: string, fields: Readonly<Record<string, string>>, at: number): void {
    const { record, version = '', op = '', claim, epoch = '' } = fields;
    if (record === undefined) {
      if (claim !== undefined) history.note({ kind: 'claim', ref, claim, epoch }, at);
      return;
    }
    const commit = { ref, version, op, record };
    if (script !== null) script.commit = commit;
    else history.note({ kind: 'commit', ...commit, expected: { op: '', claim: '' }, ended: [], drafts: [] }, at);
  }

  /** All that the server before has told is written down. */
  async function listenToTheEnd(): Promise<void> {
    if (socket === null) return;
    if (!socket.closed) await Promise.race([once(socket, 'close'), delay(LAST_WORDS_MS)]);
    flush();
    socket.destroy();
  }

  return {
    async attach(to = socketPath) {
      await listenToTheEnd();
      const redis = new Redis({ path: to, maxRetriesPerRequest: null, retryStrategy: () => 50 });
      redis.on('error', () => {});
      const found = await snapshot(redis);
      history.note({ kind: 'snapshot', ...found });
      redis.disconnect();
      const attached = await monitor(to, onCommand);
      attached.once('close', () => {
        if (socket === attached) history.note({ kind: 'redis', fault: 'nobody reads along any more' });
      });
      socket = attached;
    },
    close() {
      flush();
      socket?.destroy();
      socket = null;
    },
  };
}

function fieldsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.flatMap((field, index) => (index % 2 === 0 ? [[field, pairs[index + 1] ?? '']] : [])),
  );
}

export interface Snapshot {
  readonly clients: Record<string, SnapshotClient>;
  readonly leftAlone: Record<string, number>;
}

export async function snapshot(redis: Redis): Promise<Snapshot> {
  const clients: Record<string, SnapshotClient> = {};
  for (const ref of await redis.zrange(`${STORE}clients`, '0', '-1')) {
    const fields = ['record', 'version', 'op', 'claim', 'epoch'];
    const [record, version, op, claim, epoch] = await redis.hmget(`${CLIENT}${ref}`, ...fields);
    const sealed = await redis.hkeys(`${SEALED}${ref}`);
    const held = { version: version ?? '', op: op ?? '', claim: claim ?? '', epoch: epoch ?? '' };
    clients[ref] = { record: record ?? 'null', ...held, sealed };
  }
  const leftAlone: Record<string, number> = {};
  for (const key of await redis.keys(`${DEPLOYMENT}*`)) {
    leftAlone[key.slice(DEPLOYMENT.length)] = Number((await redis.hget(key, 'until')) ?? '0');
  }
  return { clients, leftAlone };
}
