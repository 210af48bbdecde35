/**
 * Reads along with what Redis executes (MONITOR), and writes down each commit, claim and sealed key. It knows the store's keys by name only, and
 * none of its code.
 */
import type { Socket } from 'node:net';
import { Redis } from 'ioredis';
import type { History, SnapshotClient } from './history.ts';
import { monitor } from './monitor.ts';

const CLIENT = '{rekeyd}:store:client:';
const SEALED = '{rekeyd}:store:sealed:';
const AUDIT = '{rekeyd}:store:audit';

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
  commit: { readonly ref: string; readonly version: string; readonly record: string } | null;
}

export function watchStore(socketPath: string, history: History): Watch {
  let socket: Socket | null = null;
  let script: Script | null = null;

  function flush(): void {
    if (script === null) return;
    const { args, at, drafts, commit } = script;
    script = null;
    if (commit === null) {
      for (const draft of drafts) history.note({ kind: 'loose_entry', draft }, at);
      return;
    }
    // EVAL text (or EVALSHA its name), number of keys, the keys, then: operation, expected version, expected epoch.
    const first = 3 + Number(args[2]);
    const expected = { version: args[first + 1] ?? '', epoch: args[first + 2] ?? '' };
    history.note({ kind: 'commit', ...commit, expected, drafts }, at);
  }

  function onCommand(at: number, args: readonly string[], source: string): void {
    const name = (args[0] ?? '').toUpperCase();
    if (source !== 'lua') {
      flush();
      if (name === 'EVAL' || name === 'EVALSHA') script = { args, at, drafts: [], commit: null };
      else inspect(name, args, at);
      return;
    }
    inspect(name, args, at);
  }

  function inspect(name: string, args: readonly string[], at: number): void {
    const [, key = ''] = args;
    if (name === 'XADD' && key === AUDIT) {
      const draft = args.at(-1) ?? '';
      if (script === null) history.note({ kind: 'loose_entry', draft }, at);
      else script.drafts.push(draft);
    }
    if (name === 'HSET' && key.startsWith(SEALED)) {
      for (let index = 2; index < args.length; index += 2)
        history.note({ kind: 'sealed', ref: key.slice(SEALED.length), kid: args[index] ?? '' }, at);
    }
    if (name === 'HDEL' && key.startsWith(SEALED)) {
      for (const kid of args.slice(2)) history.note({ kind: 'erased', ref: key.slice(SEALED.length), kid }, at);
    }
    if (name !== 'HSET' || !key.startsWith(CLIENT)) return;
    const ref = key.slice(CLIENT.length);
    const fields = Object.fromEntries(
      args.slice(2).flatMap((field, index, all) => (index % 2 === 0 ? [[field, all[index + 1] ?? '']] : [])),
    );
    const { record, version = '', epoch = '', holder } = fields;
    if (record !== undefined) {
      if (script === null) history.note({ kind: 'commit', ref, version, record, expected: none, drafts: [] }, at);
      else script.commit = { ref, version, record };
    } else if (holder !== undefined && epoch !== '') history.note({ kind: 'claim', ref, epoch }, at);
  }

  return {
    async attach(to = socketPath) {
      flush();
      socket?.destroy();
      const redis = new Redis({ path: to, maxRetriesPerRequest: null, retryStrategy: () => 50 });
      redis.on('error', () => {});
      history.note({ kind: 'snapshot', clients: await snapshot(redis) });
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
    },
  };
}

const none = { version: '', epoch: '' };

export async function snapshot(redis: Redis): Promise<Record<string, SnapshotClient>> {
  const clients: Record<string, SnapshotClient> = {};
  for (const ref of await redis.zrange('{rekeyd}:store:clients', '0', '-1')) {
    const [record, version, epoch] = await redis.hmget(`${CLIENT}${ref}`, 'record', 'version', 'epoch');
    const sealed = await redis.hkeys(`${SEALED}${ref}`);
    clients[ref] = { record: record ?? 'null', version: version ?? '', epoch: epoch ?? '', sealed };
  }
  return clients;
}
