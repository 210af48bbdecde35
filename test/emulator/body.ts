import type { FastifyInstance, FastifyRequest } from 'fastify';

/** More is 413 on both APIs. */
const LIMIT = 2 << 20;

/** A request's body as it came: each API reads its own media type, and refuses others in its own words and at its own time. */
export interface RawBody {
  /** Content-Type; empty when there is none. */
  readonly type: string;
  readonly bytes: Buffer;
  /** Then `bytes` is empty. */
  readonly tooLarge: boolean;
}

export function jsonBody(value: unknown): RawBody {
  return { type: 'application/json', bytes: Buffer.from(JSON.stringify(value)), tooLarge: false };
}

/** Takes bodies of all types and sizes, and leaves it to the handlers to refuse them. */
export function takeRawBodies(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', async (_request: FastifyRequest, stream: AsyncIterable<Buffer>) => {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream) {
      size += chunk.length;
      if (size <= LIMIT) chunks.push(chunk);
      else chunks.length = 0;
    }
    return { bytes: Buffer.concat(chunks), tooLarge: size > LIMIT };
  });
}

export function bodyOf(request: FastifyRequest): RawBody {
  // What the parser above answered; absent when there was no body to parse.
  const read = request.body as Omit<RawBody, 'type'> | undefined;
  const type = request.headers['content-type'] ?? '';
  return { type, bytes: read?.bytes ?? Buffer.alloc(0), tooLarge: read?.tooLarge ?? false };
}

export function textOf(request: FastifyRequest): string {
  return bodyOf(request).bytes.toString();
}
