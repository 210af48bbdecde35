/** How long a server that answers 429 wants to be left alone. Servers say it in many ways; it is a hint, which callers bound. */
import { parseHttpDate } from './http-date.ts';
import { errorTexts, members, parseJson, type ServerAnswer } from './reply.ts';

const DEFAULT_MS = 60_000;
const LEAST_MS = 1_000;
const MOST_MS = 60 * 60_000;

/** Above this, in seconds, Wacht's message means ms: it prints `Retry after 60000 seconds` for a window of one minute. */
const MOST_SECONDS = 999;

/** A reset beyond this, in seconds, is a time since the Unix epoch. */
const EPOCH_SECONDS = 1_000_000_000;

/**
 * In ms: the longest of `Retry-After` (RFC 9110 section 10.2.3), what the JSON body says and what its message says; else what is left of the window by the
 * `RateLimit` header (draft-ietf-httpapi-ratelimit-headers) or one of its forerunners; else a minute. At least 1 s, so that a clock ahead of the server's
 * cannot make a busy loop, and at most an hour.
 */
export function wishedWaitMs({ headers, body, now }: ServerAnswer): number {
  const asked = [retryAfter(headers['retry-after'] ?? '', now), ...inBody(body), inMessage(errorTexts(body) ?? body)];
  const wish = longest(asked) ?? longest(resets(headers, now)) ?? DEFAULT_MS;
  return Math.ceil(Math.min(MOST_MS, Math.max(LEAST_MS, wish)));
}

function longest(waits: readonly (number | null)[]): number | null {
  const given = waits.filter((wait) => wait !== null);
  return given.length === 0 ? null : Math.max(...given);
}

function retryAfter(value: string, now: number): number | null {
  const text = value.trim();
  const date = parseHttpDate(text);
  return date === null ? seconds(text) : date - now;
}

/** Seconds, with or without a fraction, as ms. */
function seconds(value: unknown): number | null {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1000 : null;
}

/** Members of the body, or of its first error. */
function inBody(body: string): readonly (number | null)[] {
  const top = members(parseJson(body));
  const [first]: unknown[] = Array.isArray(top.errors) ? top.errors : [];
  return [top, members(top.error), members(first)].flatMap((said) => {
    const ms = seconds(said.retry_after_ms ?? said.retryAfterMs);
    return [seconds(said.retry_after ?? said.retryAfter), ms === null ? null : ms / 1000];
  });
}

function inMessage(message: string): number | null {
  const [, number, unit = ''] = /retry (?:after|in) (\d{1,12}(?:\.\d{1,9})?) ?(ms|milliseconds|s)/i.exec(message) ?? [];
  if (number === undefined) return null;
  const isMs = unit.toLowerCase().startsWith('m') || Number(number) > MOST_SECONDS;
  return Number(number) * (isMs ? 1 : 1000);
}

function resets(headers: ServerAnswer['headers'], now: number): readonly (number | null)[] {
  const left = /(?:^|[;,\s])(?:t|reset)=(\d+)/.exec(headers.ratelimit ?? '')?.[1];
  return [left, headers['ratelimit-reset'], headers['x-ratelimit-reset'], headers['x-rate-limit-reset']].map(
    (value) => {
      const given = seconds(value?.trim());
      return given !== null && given > EPOCH_SECONDS * 1000 ? given - now : given;
    },
  );
}
