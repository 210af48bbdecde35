/** Makes the recorded calls against an emulator of their own. */
import { once } from 'node:events';
import { request } from 'node:http';
import { REPLAY_KEYS, seedReplay } from '../seed.ts';
import { type Emulator, startEmulator } from '../server.ts';
import { EXCHANGES, type Exchange, type SignIn } from './exchange.ts';
import { Script } from './script.ts';

/** What a call is answered with, by its name, and what it has to be. */
export interface Result {
  readonly seen: object;
  readonly expected: object;
}

const NOW = Date.parse('2026-11-26T10:00:00Z');
const CLIENTS = '/oauth/apps/mcp-auth/clients';

export async function runExchanges(): Promise<ReadonlyMap<string, Result>> {
  // The clock stands still, so that no claim gets older than it was meant to be.
  const emulator = await startEmulator({ now: () => NOW });
  seedReplay(emulator);
  const script = new Script(NOW / 1000, REPLAY_KEYS);
  const results = new Map<string, Result>();
  for (const exchange of EXCHANGES) {
    const seen = await make(emulator, script, exchange);
    results.set(exchange.name, { seen, expected: script.expected(exchange) });
  }
  await emulator.close();
  return results;
}

async function make(emulator: Emulator, script: Script, exchange: Exchange): Promise<object> {
  const { look, list, before, sign_in: signIn, label } = exchange;
  if (before !== undefined) await send(emulator, script, { send: `PATCH ${CLIENTS}/<id:A>`, body: before });
  if (signIn !== undefined) return login(emulator, script, signIn);
  if (list !== undefined) return listed(await rows(emulator, script), script);
  if (look !== undefined)
    return { body: (await rows(emulator, script)).find(({ id }) => id === script.text(`<id:${look}>`)) };
  const seen = await send(emulator, script, exchange);
  if (label !== undefined) script.label(label, seen.body);
  return seen;
}

/** The labels of the clients in the order of the list, and the members that a row has. */
function listed(clients: readonly Row[], script: Script) {
  const labels = ['A', 'B', 'U', 'N', 'S', 'G'];
  const order = clients.flatMap(({ id }) => labels.filter((label) => script.text(`<id:${label}>`) === id));
  return { order, members: Object.keys(clients[0] ?? {}) };
}

type Row = Readonly<Record<string, unknown>>;

async function rows(emulator: Emulator, script: Script): Promise<readonly Row[]> {
  const { body } = await send(emulator, script, { send: `GET ${CLIENTS}` });
  return (body as { readonly clients: readonly Row[] }).clients; // a list of clients is what that path answers
}

function send(emulator: Emulator, script: Script, call: Omit<Exchange, 'name' | 'answer'>): Promise<Seen> {
  const [method = '', path = ''] = script.text(call.send ?? '').split(' ');
  const text = call.body === undefined ? call.text : JSON.stringify(script.expand(call.body));
  const type = call.type === undefined && text !== undefined ? 'application/json' : call.type;
  return answerTo(emulator, method, path, text === undefined ? undefined : script.text(text), {
    authorization: authorization(script, call.as),
    'content-type': type,
    host: call.host,
  });
}

function authorization(script: Script, as: string | null = 'key'): string | null {
  if (as === null) return null;
  return script.text(as in REPLAY_KEYS ? `Bearer <${as}>` : as);
}

function login(emulator: Emulator, script: Script, signIn: SignIn): Promise<Seen> {
  const { path = '/oauth/introspect', method = 'POST', host = 'auth.example.com', headers = {} } = signIn;
  const more = Object.entries(headers).map(([name, value]) => [name, script.text(value)]);
  return answerTo(emulator, method, path, script.form(signIn, `https://auth.example.com${path}`), {
    host,
    'content-type': signIn.type ?? 'application/x-www-form-urlencoded',
    ...Object.fromEntries(more),
  });
}

/** Of an answer, what a caller can tell apart. */
interface Seen {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly challenge: string | null;
  /** Null when it is empty. */
  readonly body: unknown;
}

/** With node:http, because fetch sets `Host` itself. */
async function answerTo(
  emulator: Emulator,
  method: string,
  path: string,
  body: string | undefined,
  headers: Readonly<Record<string, string | null | undefined>>,
): Promise<Seen> {
  const given = Object.entries(headers).filter((header): header is [string, string] => typeof header[1] === 'string');
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const outgoing = request(`${emulator.url}${path}`, { method, headers: { ...Object.fromEntries(given), ...length } });
  outgoing.end(body);
  const [incoming] = await once(outgoing, 'response');
  const text = Buffer.concat(await incoming.toArray()).toString();
  return {
    status: incoming.statusCode,
    type: incoming.headers['content-type']?.split(';')[0],
    challenge: incoming.headers['www-authenticate'] ?? null,
    body: text === '' ? null : JSON.parse(text),
  };
}
