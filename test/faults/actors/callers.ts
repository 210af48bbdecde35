/**
 * People and programs at the HTTP API. Each calls until it has an answer, of whatever worker: calls are cut off, workers die, and Redis goes away. A call
 * that is repeated is the same call, under the same `Idempotency-Key`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Event, Untimed } from '../evidence/history.ts';
import type { Chance } from '../random.ts';
import type { Scene } from '../stage/scenario.ts';
import { type Stage, settle } from '../stage/stage.ts';
import type { Testbed } from '../stage/testbed.ts';
import { PATIENCE_MS, POLL_MS } from './asking.ts';

/** Who calls. */
export interface Bearer {
  readonly name: string;
  readonly value: string;
}

export interface ApiCall {
  /** Of its own, and its `reason` and `Idempotency-Key`. */
  readonly name: string;
  readonly bearer: Bearer;
  readonly due: 'effect' | 'nothing' | 'refusal';
  readonly path: string;
  /** JSON, or the bytes of a key. */
  readonly body: object | string | Uint8Array;
}

type Answer = Extract<Untimed<Event>, { readonly kind: 'answer' }>;

/** A worker that stands still is not waited for, in ms. */
const ANSWER_MS = 5_000;

/** Of all tries so many are cut off by the caller, after at most so long, in ms. */
const CUT_OFF = 0.4;
const CUT_OFF_MS = 400;

/** What says nothing about the call itself. */
const AGAIN: readonly number[] = [429, 500, 502, 503];

export interface Callers {
  /** Null: nobody answered in time. */
  call(call: ApiCall): Promise<Answer | null>;
  /** One try, at one worker. @throws when there is no answer */
  tryOn(port: number, call: ApiCall, signal?: AbortSignal): Promise<Answer>;
}

interface Setting {
  readonly ports: readonly number[];
  readonly history: Testbed['history'];
  readonly chance: Chance;
  /** Nobody is cut off. */
  readonly isCalm?: boolean;
}

export function openCallers({ ports, history, chance, isCalm = false }: Setting): Callers {
  async function tryOn(port: number, call: ApiCall, signal = AbortSignal.timeout(ANSWER_MS)): Promise<Answer> {
    const response = await post(port, call, signal);
    const text = await response.text();
    const told = { kind: 'answer', name: call.name, port, status: response.status, ...resultIn(text) } as const;
    history.note(told);
    return told;
  }

  function patience(): AbortSignal {
    const isCut = !isCalm && chance.next() < CUT_OFF;
    return AbortSignal.timeout(isCut ? chance.between(1, CUT_OFF_MS) : ANSWER_MS);
  }

  return {
    tryOn,
    async call(call) {
      const { name, bearer, due } = call;
      history.note({ kind: 'call', name, token: bearer.name, due });
      for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(POLL_MS)) {
        const answer = await tryOn(chance.pick(ports), call, patience()).catch(() => null);
        if (answer !== null && !AGAIN.includes(answer.status) && !answer.pending) return answer;
      }
      return null;
    },
  };
}

function post(port: number, { name, bearer, path, body }: ApiCall, signal: AbortSignal): Promise<Response> {
  const isJson = typeof body === 'object' && !(body instanceof Uint8Array);
  const headers = {
    authorization: `Bearer ${bearer.value}`,
    'idempotency-key': name,
    'content-type': isJson ? 'application/json' : 'application/octet-stream',
  };
  const sent = isJson ? JSON.stringify(body) : Buffer.from(body);
  return fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body: sent, signal });
}

interface Told {
  readonly request?: string | null;
  readonly rotation?: string | null;
  readonly client: string;
}

/** Of both routes. */
interface Body {
  readonly request?: string;
  readonly rotations?: readonly { readonly id: string; readonly client: string }[];
  readonly pending?: boolean;
  readonly keys?: readonly { readonly clients: readonly Told[] }[];
  readonly requests?: readonly { readonly pending: boolean }[];
}

function resultIn(text: string): Pick<Answer, 'request' | 'rotations' | 'pending'> {
  const { request, rotations = [], pending = false, keys = [], requests = [] }: Body = JSON.parse(text);
  const clients = keys.flatMap((key) => key.clients);
  const replaced = clients.flatMap(({ client, rotation }) => (rotation ? [{ id: rotation, client }] : []));
  return {
    request: request ?? clients.find((one) => one.request)?.request ?? '',
    rotations: [...rotations, ...replaced].map(({ id, client }) => ({ id, client })),
    pending: pending || requests.some((one) => one.pending),
  };
}

/** How long a worker lives that was just called, in ms: as long as an answer may take. */
const LEFT_MS = 200;

/** One try of a call, whose worker dies before it has answered, or right afterwards. */
export async function strike(
  { pool, ports, chance }: Pick<Scene<Testbed>, 'pool' | 'chance'> & { readonly ports: readonly number[] },
  { tryOn }: Callers,
  call: ApiCall,
): Promise<void> {
  const slot = chance.between(0, ports.length - 1);
  const tried = tryOn(ports[slot] ?? 0, call).catch(() => null);
  await delay(chance.between(0, LEFT_MS));
  pool.kill(slot);
  await tried;
}

/** A person makes a token at the command line. */
export async function makeToken(
  scene: Pick<Scene<Stage>, 'command' | 'redis' | 'disk'>,
  name: string,
  scopes: string,
): Promise<Bearer> {
  const value = (await scene.command('token', 'create', name, '--scope', scopes)).trim();
  await settle(scene);
  return { name, value };
}

/** What is known of the list of tokens is at most a second old: from then on each worker refuses it. In ms. */
const REVOKED_MS = 1_000;

/** Resolves when no worker may take it any more. */
export async function revokeToken(
  scene: Pick<Scene<Stage>, 'command' | 'redis' | 'disk' | 'history'>,
  { name }: Bearer,
): Promise<void> {
  scene.history.note({ kind: 'revoking', token: name });
  await scene.command('token', 'revoke', name);
  await settle(scene);
  await delay(REVOKED_MS + POLL_MS);
}

/** Each worker is called until it answers. */
export async function isRefusedEverywhere(
  { tryOn }: Callers,
  history: Testbed['history'],
  ports: readonly number[],
  call: ApiCall,
): Promise<boolean> {
  history.note({ kind: 'call', name: call.name, token: call.bearer.name, due: 'refusal' });
  const refusals = ports.map(async (port) => {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(POLL_MS)) {
      const answer = await tryOn(port, call).catch(() => null);
      if (answer !== null && !AGAIN.includes(answer.status)) return answer.status === 401 || answer.status === 403;
    }
    return false;
  });
  return (await Promise.all(refusals)).every(Boolean);
}
