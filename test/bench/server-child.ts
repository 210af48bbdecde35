/** The local Wacht in a process of its own, with a fleet of clients that share one key that rekeyd does not manage yet. */
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { isChange, isLook } from '../emulator/log.ts';
import { startEmulator } from '../emulator/server.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { orderOf, serveParent, usage } from './child.ts';

export interface ServerOrder {
  readonly deployment: string;
  readonly apiKey: string;
  readonly selection: 'first_pem' | 'jwks_kid';
  /** Of the key that the clients begin with. */
  readonly alg: string;
  /** How many clients each app has, by slug. */
  readonly apps: Readonly<Record<string, number>>;
}

export interface ServerReady {
  readonly url: string;
  /** Row ids by app slug. */
  readonly clients: Readonly<Record<string, readonly string[]>>;
}

export interface ServerCounts {
  readonly requests: number;
  readonly looks: number;
  readonly patches: number;
  readonly proofs: number;
  /** Sent in answers, their heads included. */
  readonly bytes: number;
}

const { deployment, apiKey, selection, alg, apps } = orderOf<ServerOrder>();
const counts = { requests: 0, looks: 0, patches: 0, proofs: 0, bytes: 0 };
/** Arrival of each client's latest PATCH, ms since the epoch. */
const patchedAt = new Map<string | null, number>();

const emulator = await startEmulator({
  logLimit: 1_000,
  onAnswered(call) {
    const { api, client, at } = call;
    counts.requests += 1;
    if (api === 'runtime') counts.proofs += 1;
    if (isLook(call)) counts.looks += 1;
    if (!isChange(call)) return;
    counts.patches += 1;
    patchedAt.set(client, at);
  },
});
/** What each connection had sent by its last answer. */
const sent = new WeakMap<Socket, number>();
subscribe('http.server.response.finish', (message) => {
  const { socket } = message as { readonly socket: Socket }; // documented in node:diagnostics_channel
  counts.bytes += socket.bytesWritten - (sent.get(socket) ?? 0);
  sent.set(socket, socket.bytesWritten);
});
emulator.setApiKey(deployment, apiKey);
const jwks = { keys: [withPem(makeKey(alg))] };
const clients = Object.entries(apps).map(([slug, count]) => {
  emulator.addApp({ deployment, slug, selection });
  const ids = Array.from({ length: count }, () => emulator.addClient({ deployment, app: slug, alg, jwks }).id);
  return [slug, ids] as const;
});

serveParent(
  { url: emulator.url, clients: Object.fromEntries(clients) } satisfies ServerReady,
  {
    counts: (): ServerCounts => counts,
    usage,
    patchedAt: (client: string) => patchedAt.get(client) ?? null,
    /** From now on every call of the API takes that long. */
    latency(ms: number) {
      emulator.faults.clear();
      const match = { path: /^\/deployments\/|^\/oauth\/apps/ };
      if (ms > 0) emulator.faults.add({ kind: 'latency', ms, match, times: Number.POSITIVE_INFINITY });
    },
  },
  () => emulator.close(),
);
