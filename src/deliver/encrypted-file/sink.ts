/**
 * Keys as a file per client that one recipient can open: a compact JWE (RFC 7516) of the set as a JSON document. Its header tells, to everybody, which client
 * and keys it is about and who delivered it.
 */
import { readFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { CompactEncrypt, decodeProtectedHeader, importJWK } from 'jose';
import type { EncryptedFileSinkConfig } from '../../config/sinks/model.ts';
import { members } from '../../core/reply.ts';
import type { Delivery } from '../../core/signers.ts';
import { messageOf } from '../../errors.ts';
import { codeOf } from '../../files/durable.ts';
import { encodeSegment } from '../../files/paths.ts';
import { openThreads } from '../../files/threads.ts';
import { fileHint } from '../directory.ts';
import { kidsOf, setDocument } from '../document.ts';
import { type Fence, fenceIn, fenceOf, refuseFenced } from '../fence.ts';
import { deliveryIn } from '../key-set.ts';
import type { SinkTools } from '../open.ts';
import { type Sink, type SinkContents, sinkFailed } from '../sink.ts';
import type { Task, Undelivered } from '../thread.ts';

/** The same file from source and from `dist`. */
const ENTRY = new URL(`../thread${extname(import.meta.url)}`, import.meta.url);

/** The member of the header that is rekeyd's. */
const OWN = 'rekeyd';

export function encryptedFileSink(config: EncryptedFileSinkConfig, { store }: Pick<SinkTools, 'store'>): Sink {
  const root = resolve(config.path);
  const { access, recipient } = config;
  const threads = openThreads<Task, Undelivered>(ENTRY, 1);
  const pathOf = (ref: string) => `${join(root, ...ref.split('/').map(encodeSegment))}.jwe`;

  /** The file system's own failure becomes one for people. */
  async function run(place: string, task: Task): Promise<void> {
    const failure = await threads.run(task).catch((error: unknown) => ({ code: '', message: messageOf(error) }));
    if (failure !== null) throw sinkFailed(place, failure.message, fileHint(failure.code));
  }

  async function encrypted(contents: SinkContents): Promise<string> {
    const document = setDocument(contents);
    try {
      const key = await importJWK(recipient.jwk, recipient.alg);
      const header = { alg: recipient.alg, enc: 'A256GCM', kid: recipient.kid, cty: 'json' };
      const own = { ...fenceOf(contents, store), ...kidsOf(contents) };
      return await new CompactEncrypt(document).setProtectedHeader({ ...header, [OWN]: own }).encrypt(key);
    } finally {
      document.fill(0);
    }
  }

  return {
    name: `encrypted_file ${root}`,
    placeOf: pathOf,
    async deliver(contents) {
      const path = pathOf(contents.ref);
      const found = await read(path).catch((error: unknown) => {
        throw sinkFailed(path, messageOf(error), fileHint(codeOf(error)));
      });
      if (found === 'other') {
        throw sinkFailed(
          path,
          'a file is there that rekeyd did not make',
          'Move it away, or set another path for this sink',
        );
      }
      if (found !== null) await refuseFenced(path, found.fence, contents, store);
      const bytes = Buffer.from(`${await encrypted(contents)}\n`);
      await run(path, { do: 'put', path, bytes, access });
    },
    sets: async () => async (ref) => {
      const found = await read(pathOf(ref)).catch(() => null);
      return found === null || found === 'other' || found.fence.client !== ref ? null : found.delivery;
    },
    reports: null,
    async check() {
      try {
        await run(root, { do: 'try', folder: root, access, links: false });
        return null;
      } catch (error) {
        return messageOf(error);
      }
    },
    close: threads.close,
  };
}

interface Found {
  readonly fence: Fence;
  readonly delivery: Delivery | null;
}

/** Null: there is no file. @throws the file system's own errors */
async function read(path: string): Promise<Found | 'other' | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  const own = ownIn(text.trim());
  const fence = fenceIn(own);
  return fence === null ? 'other' : { fence, delivery: deliveryIn(JSON.stringify(own)) };
}

function ownIn(jwe: string): unknown {
  try {
    return members(decodeProtectedHeader(jwe))[OWN];
  } catch {
    return null;
  }
}
