/**
 * Keys as a file per client that one recipient can open: a compact JWE (RFC 7516) of the set as a JSON document. Its header tells, to everybody, which client
 * and keys it is about and who delivered it.
 */
import { randomBytes } from 'node:crypto';
import { rm, rmdir } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { CompactEncrypt, decodeProtectedHeader, importJWK } from 'jose';
import type { EncryptedFileSinkConfig } from '../../config/sinks/model.ts';
import { members } from '../../core/reply.ts';
import type { Delivery } from '../../core/signers.ts';
import { messageOf } from '../../errors.ts';
import { type NotSmall, readSmall } from '../../files/bounded.ts';
import { codeOf } from '../../files/durable.ts';
import { encodeSegment } from '../../files/paths.ts';
import { type Failure, openThreads } from '../../files/threads.ts';
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

/** In bytes. Three of the longest keys make a third of that. */
const MOST_BYTES = 256 * 1024;

/** So often another delivery to the same file may be faster. */
const ATTEMPTS = 20;

/** What the file system says when another delivery removed our draft, or added one to the folder that we remove. */
const OVERTAKEN: readonly string[] = ['ENOENT', 'ENOTEMPTY'];

export function encryptedFileSink(config: EncryptedFileSinkConfig, { store }: Pick<SinkTools, 'store'>): Sink {
  const root = resolve(config.path);
  const { access, recipient } = config;
  const threads = openThreads<Task, Undelivered>(ENTRY, 1);
  const pathOf = (ref: string) => `${join(root, ...ref.split('/').map(encodeSegment))}.jwe`;

  /** Null: it is done. */
  function attempt(task: Task): Promise<Failure | null> {
    return threads.run(task).catch((error: unknown) => ({ code: '', message: messageOf(error) }));
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

  /** @throws SinkOutdated; RekeydError `sink_failed` where the file is not ours to replace */
  async function expectOurs(path: string, contents: SinkContents): Promise<void> {
    const found = await read(path).catch((error: unknown) => {
      throw sinkFailed(path, messageOf(error), fileHint(codeOf(error)));
    });
    if (found === 'other') {
      throw sinkFailed(
        path,
        'something is there that rekeyd did not make',
        'Move it away, or set another path for this sink',
      );
    }
    if (found !== null) await refuseFenced(path, found.fence, contents, store);
  }

  /**
   * The draft is there before the file is looked at, and a delivery that is done removes all drafts. So a delivery that stood still between its look and its
   * swap finds its draft gone, and looks again.
   * @returns null when it is done; else why it has to be done again, as where another delivery was faster
   */
  async function replace(path: string, contents: SinkContents): Promise<string | null> {
    const draft = join(dirname(path), `.${basename(path)}`, randomBytes(8).toString('hex'));
    try {
      const bytes = Buffer.from(`${await encrypted(contents)}\n`);
      let failure = await attempt({ do: 'draft', path: draft, bytes, access });
      if (failure === null) {
        await expectOurs(path, contents);
        failure = await attempt({ do: 'swap', draft, path });
      }
      if (failure !== null && OVERTAKEN.includes(failure.code)) return failure.message;
      if (failure !== null) throw sinkFailed(path, failure.message, fileHint(failure.code));
    } finally {
      await removeDraft(draft);
    }
    // An earlier delivery may have swapped just after ours, before we removed its draft.
    const present = await read(path).catch(() => null);
    const isOlder = present !== null && present !== 'other' && present.fence.epoch < contents.epoch;
    return isOlder ? 'an earlier delivery has replaced it' : null;
  }

  return {
    name: `encrypted_file ${root}`,
    placeOf: pathOf,
    async deliver(contents) {
      const path = pathOf(contents.ref);
      let why = await replace(path, contents);
      for (let attempts = 1; attempts < ATTEMPTS && why !== null; attempts += 1) why = await replace(path, contents);
      if (why !== null) throw sinkFailed(path, why, fileHint(''));
    },
    sets: async () => async (ref) => {
      const found = await read(pathOf(ref)).catch(() => null);
      return found === null || found === 'other' || found.fence.client !== ref ? null : found.delivery;
    },
    reports: null,
    async check() {
      const failure = await attempt({ do: 'try', folder: root, access, links: false });
      return failure === null ? null : sinkFailed(root, failure.message, fileHint(failure.code)).message;
    },
    close: threads.close,
  };
}

interface Found {
  readonly fence: Fence;
  readonly delivery: Delivery | null;
}

async function removeDraft(draft: string): Promise<void> {
  try {
    await rm(draft, { force: true });
    await rmdir(dirname(draft));
  } catch {
    // It is gone with its folder, or another delivery has a draft there.
  }
}

/** Null: there is no file. @throws the file system's own errors */
async function read(path: string): Promise<Found | 'other' | null> {
  let file: Buffer | NotSmall;
  try {
    file = await readSmall(path, MOST_BYTES);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  const own = typeof file === 'string' ? null : ownIn(file.toString('utf8').trim());
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
