/** What an HTTP outcome of the Wacht API means for the work at hand. */
import { wishedWaitMs } from './wish.ts';

export type AnswerHeaders = Readonly<Partial<Record<string, string>>>;

/** An HTTP answer as far as its meaning goes. */
export interface ServerAnswer {
  readonly status: number;
  /** By name, in lower case. */
  readonly headers: AnswerHeaders;
  readonly body: string;
  /** Local time in ms since the epoch: what a date in a header is measured against. */
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
export function classifyReply(answer: ServerAnswer): Reply {
  const { status } = answer;
  if (status === 204) return { class: 'done', status, body: null };
  if (status >= 200 && status < 300) return classifySuccess(answer);
  const message = answerMessage(answer);
  if (status === 401) return { class: 'credential', status, message };
  if (status === 403) return { class: 'forbidden', status, message };
  if (status === 429) return { class: 'throttled', status, message, retryAfterMs: wishedWaitMs(answer) };
  const isAnswered = status !== 404 || parseJson(answer.body) !== undefined;
  if (status < 300 || status >= 500 || PASSING.has(status) || !isAnswered) return { class: 'unknown', status, message };
  return { class: 'refused', status, message };
}

/** A time-out of the server or of a proxy, a race, another server, a lock, too early: none says that the value was wrong. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 421, 423, 425]);

function classifySuccess({ status, body }: ServerAnswer): Reply {
  const parsed = parseJson(body);
  const unknown = (message: string): Reply => ({ class: 'unknown', status, message: shortMessage(message) });
  if (parsed === undefined) return unknown(whatElse(body));
  const content = unwrap(parsed);
  // Some servers answer 200 to everything. Nothing that is documented has both.
  const error = members(content).id === undefined ? errorTexts(body) : null;
  return error === null
    ? { class: 'done', status, body: content }
    : unknown(`the answer is an error: ${shortMessage(error)}`);
}

/** What a success is that is no JSON. */
function whatElse(body: string): string {
  const kind = kindOfText(body);
  if (kind === 'empty') return `the answer is ${kind}`;
  return `the answer is ${kind}: ${kind.startsWith('a page') ? pageTitle(body) : shortMessage(body)}`;
}

/** Of a text that is no JSON. */
export function kindOfText(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return 'empty';
  if (trimmed.startsWith('<')) return 'a page, and no JSON';
  return /^[[{]/.test(trimmed) && !/[\]}]$/.test(trimmed) ? 'cut off' : 'not JSON';
}

function pageTitle(page: string): string {
  const title = /<title[^>]*>([^<]*)/i.exec(page)?.[1] ?? page.replaceAll(/<[^>]*>/g, ' ');
  return shortMessage(title) || '(without a text)';
}

/** Newer deployments wrap what they answer in `{"data": …}`. No documented body has a member of that name. */
function unwrap(body: unknown): unknown {
  const { data } = members(body);
  return typeof data === 'object' && data !== null ? data : body;
}

/** What the server says went wrong: its `errors[].message`, its OAuth error (RFC 6749 section 5.2), else the start of the text. */
export function answerMessage({ status, body }: ServerAnswer): string {
  const text = errorTexts(body) ?? (body.trimStart().startsWith('<') ? `a page: ${pageTitle(body)}` : body);
  return shortMessage(text) || `HTTP ${status} without a text`;
}

/** What a JSON body says went wrong; null when it says nothing. */
export function errorTexts(body: string): string | null {
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
