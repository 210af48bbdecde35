/** Stands before a server, and answers in its place what no server should. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listening } from '../support/listening.ts';

/** Answers a request; `asked` is all that came with it, as one text. */
export type Hostile = (response: ServerResponse, asked: string) => void;

export interface Front {
  readonly url: string;
  /** Null: everything is passed on. */
  hostile: Hostile | null;
  /** So many calls are passed on before. */
  spares: number;
  /** So many are answered by the hostile one then. */
  lies: number;
  /** Calls that it answered. */
  met: number;
  /** Secrets that were sent: tokens, logins and data keys. */
  readonly secrets: Set<string>;
}

/** @param target the server behind it */
export async function startFront(target: string): Promise<Front> {
  const front: Front = {
    url: '',
    hostile: null,
    spares: 0,
    lies: Number.POSITIVE_INFINITY,
    met: 0,
    secrets: new Set(),
  };
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    for (const secret of secretsOf(request, body)) front.secrets.add(secret);
    front.spares -= 1;
    if (front.hostile !== null && front.spares < 0 && front.met < front.lies) {
      front.met += 1;
      return front.hostile(response, `${JSON.stringify(request.headers)} ${body}`);
    }
    const headers = Object.entries(request.headers).filter(([name]) => !HOP.includes(name));
    const answer = await fetch(`${target}${request.url}`, {
      method: request.method ?? 'GET',
      headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
      ...(body.length > 0 && { body }),
    });
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(answer.status === 204 ? undefined : Buffer.from(await answer.arrayBuffer()));
  });
  const port = await listening(server);
  return Object.assign(front, { url: `http://127.0.0.1:${port}` });
}

const HOP: readonly string[] = ['host', 'connection', 'content-length'];

function secretsOf({ headers }: IncomingMessage, body: Buffer): string[] {
  const text = body.toString();
  const sent: Record<string, unknown> = text.startsWith('{') ? JSON.parse(text) : {};
  const bearer = headers.authorization?.startsWith('Bearer ') ? headers.authorization.slice(7) : undefined;
  const found = [headers['x-vault-token'], bearer, sent.secret_id, sent.jwt, sent.plaintext, sent.Plaintext];
  return found.filter((value) => typeof value === 'string' && value !== '') as string[]; // as the filter says
}

/** The largest body that is sent, in bytes. */
const GIBIBYTE = 1024 ** 3;

/** @returns how many bytes were sent when the reader went away */
export function pour(response: ServerResponse, sent: { bytes: number }): void {
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const more = () => {
    while (!response.destroyed && sent.bytes < GIBIBYTE) {
      sent.bytes += chunk.length;
      if (!response.write(chunk)) return void response.once('drain', more);
    }
  };
  more();
}

/** A byte now and then, without end. */
export function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(timer));
}
