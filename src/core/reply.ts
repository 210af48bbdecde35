/** What an HTTP outcome of the Wacht API means for the work at hand. */

/** An HTTP answer as far as its meaning goes. */
export interface ServerAnswer {
  readonly status: number;
  readonly headers: { readonly retryAfter: string | null };
  readonly body: string;
  /** Local time in ms since the epoch: what a `Retry-After` date is measured against. */
  readonly now: number;
}

export type Reply =
  /** The server did it. `body` is the parsed JSON without a `{"data": …}` wrapper; null for 204. */
  | { readonly class: 'done'; readonly status: number; readonly body: unknown }
  /** The server will not do it, and asking again changes nothing. */
  | { readonly class: 'refused'; readonly status: number; readonly message: string }
  /** 401: the API key is not accepted, or the platform's check of it has a passing fault. */
  | { readonly class: 'credential'; readonly status: number; readonly message: string }
  /** 403: the API key may not do this. */
  | { readonly class: 'forbidden'; readonly status: number; readonly message: string }
  | { readonly class: 'throttled'; readonly status: number; readonly message: string; readonly retryAfterMs: number }
  /** The server may or may not have done it: send the same bytes again. `status` is null when there was no answer. */
  | { readonly class: 'unknown'; readonly status: number | null; readonly message: string };

export type FailedReply = Exclude<Reply, { class: 'done' }>;

const MAX_MESSAGE = 300;
const DEFAULT_RETRY_MS = 60_000;
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60 * 60_000;

/** A day's name: the start of each of the three HTTP date formats (RFC 9110 section 5.6.7), and of nothing else that `Date.parse` would take. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

export function classifyReply(answer: ServerAnswer): Reply {
  const { status } = answer;
  if (status === 204) return { class: 'done', status, body: null };
  if (status >= 200 && status < 300) return classifyBody(status, answer.body);
  const message = answerMessage(answer);
  if (status === 401) return { class: 'credential', status, message };
  if (status === 403) return { class: 'forbidden', status, message };
  if (status === 429) return { class: 'throttled', status, message, retryAfterMs: retryAfterMs(answer) };
  // 408 is the server's (or a proxy's) own time-out, 409 a race: neither says that the value was wrong.
  if (status < 300 || status >= 500 || status === 408 || status === 409) return { class: 'unknown', status, message };
  return { class: 'refused', status, message };
}

function classifyBody(status: number, body: string): Reply {
  const parsed = parseJson(body);
  if (parsed === undefined) {
    return { class: 'unknown', status, message: `the answer is not JSON: ${shortMessage(body) || '(empty)'}` };
  }
  return { class: 'done', status, body: unwrap(parsed) };
}

/** Newer deployments wrap what they answer in `{"data": …}`. No documented body has a member of that name. */
function unwrap(body: unknown): unknown {
  const { data } = members(body);
  return typeof data === 'object' && data !== null ? data : body;
}

/**
 * How long to wait after a 429, in ms: the longer of `Retry-After` (RFC 9110 section 10.2.3) and the seconds in the message, else 60 s; at least
 * 1 s, so that a clock ahead of the server's cannot make a busy loop, and at most an hour.
 */
export function retryAfterMs({ headers, body, now }: ServerAnswer): number {
  const inMessage = /retry after (\d{1,12}) ?s/i.exec(errorTexts(body) ?? body)?.[1];
  const waits = [
    headerMs(headers.retryAfter?.trim() ?? '', now),
    inMessage === undefined ? null : Number(inMessage) * 1000,
  ];
  const given = waits.filter((wait) => wait !== null);
  if (given.length === 0) return DEFAULT_RETRY_MS;
  return Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, ...given));
}

function headerMs(value: string, now: number): number | null {
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  if (!HTTP_DATE.test(value)) return null;
  // The asctime format names no zone and means GMT; Date.parse would take it for local time.
  const date = Date.parse(value.endsWith('GMT') ? value : `${value} GMT`);
  return Number.isNaN(date) ? null : date - now;
}

/** What the server says went wrong: its `errors[].message`, its OAuth error (RFC 6749 section 5.2), else the start of the text. */
export function answerMessage({ status, body }: ServerAnswer): string {
  return shortMessage(errorTexts(body) ?? body) || `HTTP ${status} without a text`;
}

function errorTexts(body: string): string | null {
  const { errors, error, error_description: description } = members(parseJson(body));
  const texts = Array.isArray(errors) ? errors.map((entry) => members(entry).message) : [error, description];
  const joined = texts
    .filter((text) => typeof text === 'string' && text !== '')
    .join(Array.isArray(errors) ? '; ' : ': ');
  return joined === '' ? null : joined;
}

/** One line of at most 300 characters, without control and formatting characters: fit for a log, a terminal and an audit entry. */
export function shortMessage(text: string): string {
  const line = text
    .slice(0, 4 * MAX_MESSAGE)
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length <= MAX_MESSAGE ? line : `${line.slice(0, MAX_MESSAGE - 1)}…`.toWellFormed();
}

/** undefined when `text` is not JSON (no JSON text parses to undefined). */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The members of a JSON object; none for anything else. */
export function members(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
