/** What somebody sends to `/v1/leaks`: a key or a report, alone or with what is to be done about it. */
import { z } from 'zod';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { type FoundKeys, findKeys, findKeysIn } from './find-keys.ts';

const wishes = {
  rotate: z.boolean().optional().describe('Replace the keys that are ours: needs the scope rotate.'),
  take_over: z
    .boolean()
    .optional()
    .describe('With rotate: also where the application signs with a key of its own, and must take ours at once.'),
  confirm: z
    .boolean()
    .optional()
    .describe('With rotate: also when it is about more of the fleet than the breaker allows.'),
  reason: z
    .string()
    .regex(/^\s*\S(?:[\s\S]{0,298}\S)?\s*$/u, 'must have 1 to 300 characters, and not only blanks')
    .trim()
    .optional()
    .describe('Where it was found: goes verbatim to the audit trail.'),
};

/** A body with more than the key. Any other body is the key, or the report, itself. */
export const leakSchema = z.strictObject({
  key: z.unknown().optional().describe('A key in any form: PEM, base64 of DER, JWK, JWK Set, a thumbprint, a hash.'),
  report: z.unknown().optional().describe('What a scanner says: any JSON with keys in it.'),
  ...wishes,
});

const flag = z.enum(['true', 'false'], { error: 'must be true or false' }).optional();

/** The same wishes for a body that is the key itself. */
export const leakQuerySchema = z.strictObject({ rotate: flag, take_over: flag, confirm: flag, reason: wishes.reason });

interface Wishes {
  readonly rotate: boolean;
  readonly takeOver: boolean;
  readonly confirm: boolean;
  readonly reason: string | null;
}

interface SentLeak extends Wishes {
  readonly found: FoundKeys;
}

/**
 * @param body as it came
 * @throws RekeydError `usage` when the wishes cannot be read, or hold a key. It never quotes anything
 */
export async function readLeak(body: Uint8Array, query: z.output<typeof leakQuerySchema>): Promise<SentLeak> {
  const wrapped = wrapperIn(body);
  const {
    rotate = query.rotate === 'true',
    take_over: takeOver = query.take_over === 'true',
    confirm = query.confirm === 'true',
  } = wrapped ?? {};
  const reason = wrapped?.reason ?? query.reason ?? null;
  if (reason !== null && (await holdsKey(reason))) {
    throw new RekeydError(
      'usage',
      'The reason holds a key: it would stand in the audit log for good. Say where it was found.',
    );
  }
  const found = wrapped === null ? await findKeys(body) : await findKeysIn([wrapped.key, wrapped.report]);
  return { found, rotate, takeOver, confirm, reason };
}

async function holdsKey(text: string): Promise<boolean> {
  const { keys, isOver } = await findKeys(Buffer.from(text));
  return isOver || keys.length > 0;
}

/** Undefined: it is no JSON. */
function jsonIn(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

/** Null: the body is the key, or the report, itself. @throws RekeydError `usage` */
function wrapperIn(body: Uint8Array): z.output<typeof leakSchema> | null {
  const parsed = jsonIn(body);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed) || 'kty' in parsed) return null;
  if (!('key' in parsed || 'report' in parsed)) return null;
  const read = leakSchema.safeParse(parsed);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  // Names of unknown members may be anything.
  const what =
    issue?.code === 'unrecognized_keys' ? 'it has a member that is not known' : `${issue?.path.join('.')} is wrong`;
  throw new RekeydError(
    'usage',
    `This report cannot be used: ${what}. It takes key or report, rotate, take_over, confirm and reason.`,
  );
}

/** Where a scanner found something, for the audit log: of a URL with a part that may be a key, only the origin. Null: the report says no place. */
export function placeIn(body: Uint8Array): string | null {
  const parsed = jsonIn(body);
  const { url, location, incident } = members(Array.isArray(parsed) ? parsed[0] : parsed);
  const text = url ?? location ?? members(incident).gitguardian_url;
  const place = typeof text === 'string' ? URL.parse(text) : null;
  if (place === null || !/^https?:$/.test(place.protocol)) return null;
  const shown = `${place.origin}${place.pathname}`;
  return shown.length <= 250 && !/[A-Za-z0-9+_-]{41,}/.test(shown) ? shown : place.origin;
}
