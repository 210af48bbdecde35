/** What can be made to go wrong, as rules that tests and people write; `faults.ts` lets them strike. */
import { type Answer, htmlPage, oauthRefusal, type Refusal, refusal } from './answer.ts';
import type { StoredClient } from './clients.ts';
import { rateLimited } from './credentials.ts';
import { invalidToken } from './jwt.ts';
import type { LogEntry } from './log.ts';
import type { ClientMembers } from './wire.ts';

/** Before the request is applied, or after it was applied and before its answer is written. */
export type When = 'before' | 'after';

export interface Match {
  readonly api?: LogEntry['api'];
  readonly method?: string;
  /** Of PATCHes: those without members, or those with some. */
  readonly isLook?: boolean;
  readonly path?: RegExp;
  readonly deployment?: string;
  /** App slug. */
  readonly app?: string;
  /** Row id or OAuth `client_id`. */
  readonly client?: string;
}

/** A PATCH that changes something. */
export const CHANGE = { method: 'PATCH', isLook: false } as const;

/** Strikes before the request is applied unless it says `after`. */
type Answering =
  /**
   * Answers with that status, in the words that the real server has for it. 502 and 504 come from the proxy in front, as HTML. A 429 has no
   * `Retry-After` unless given.
   */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly message?: string;
      readonly retryAfter?: string | number;
      readonly when?: When;
    }
  /** The management API's 429 for a window of that length; default 60,000. Calls to the OAuth endpoints are never limited. */
  | { readonly kind: 'rate_limited'; readonly windowMs?: number }
  /** The platform's gateway, which checks keys, is away: every call of the management API is 401, the OAuth endpoints go on. */
  | { readonly kind: 'gateway_away' }
  /** What the OAuth endpoints say of an assertion. */
  | { readonly kind: 'sign_in_refused'; readonly reason: SignInRefusal; readonly when?: When }
  /** Any answer at all, written as it is. */
  | {
      readonly kind: 'page';
      readonly status: number;
      readonly body: string;
      /** Default `text/html`. */
      readonly type?: string;
      readonly when?: When;
    };

type Disturbing =
  /** Goes on after `ms`, even when the caller has gone by then: that is how a PATCH arrives late. */
  | { readonly kind: 'latency'; readonly ms: number; readonly when?: When }
  /** Like latency, until the promise settles: for tests that must not depend on timing. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown>; readonly when: When }
  /** Never answers; ends when the caller gives up or the emulator closes. */
  | { readonly kind: 'stall'; readonly when: When }
  /** Closes the connection without a byte of an answer. */
  | { readonly kind: 'drop'; readonly when: When }
  /** Somebody else PATCHes the client of this request, or the one with row id `client`. With `after`, the answer shows their document. */
  | {
      readonly kind: 'edit';
      readonly edit: ClientMembers | ((client: StoredClient) => ClientMembers);
      readonly client?: string;
      readonly when: When;
    };

/** Changes how the answer goes out, whatever it says. */
type Garbling =
  /** Changes a copy of the answer's body: members to lay over it, or a function of it. */
  | { readonly kind: 'tamper'; readonly tamper: ClientMembers | ((body: unknown) => unknown) }
  /** Closes the connection in the middle of the body. */
  | { readonly kind: 'cut' }
  /** Compresses the body, asked or not. */
  | { readonly kind: 'gzip' };

export type Kind = Answering | Disturbing | Garbling;

export type FaultRule = Kind & {
  /** All given members must match; absent: every request. */
  readonly match?: Match;
  /** How often it strikes at most. Default 1; `Number.POSITIVE_INFINITY` for ever. */
  readonly times?: number;
  /** How many matching requests pass unharmed first. Default 0. */
  readonly skip?: number;
};

export type AnsweringRule = Extract<FaultRule, Answering>;
export type DisturbingRule = Extract<FaultRule, Disturbing>;
export type GarblingRule = Extract<FaultRule, Garbling>;

/** Refusals of an assertion, as the real server says them. */
export const SIGN_IN_REFUSALS = {
  invalid_client: () => oauthRefusal(401, 'invalid_client'),
  invalid_signature: () => invalidToken('InvalidSignature'),
  invalid_algorithm: () => invalidToken('InvalidAlgorithm'),
  invalid_token: () => invalidToken('InvalidToken'),
  expired: () => invalidToken('ExpiredSignature'),
  json_error: () => invalidToken('JSON error: expected value at line 1 column 1'),
  base64_error: () => invalidToken('Base64 error: Invalid symbol 33, offset 0.'),
  unsupported_algorithm: () => oauthRefusal(400, 'invalid_request', 'Unsupported algorithm: ES512'),
  no_pem: () => oauthRefusal(400, 'invalid_request', 'private_key_jwt requires a registered PEM key in jwks'),
  server_error: () => oauthRefusal(500, 'server_error'),
} as const satisfies Readonly<Record<string, () => Refusal>>;

export type SignInRefusal = keyof typeof SIGN_IN_REFUSALS;

/** The API whose calls it can strike; undefined: both. */
export function apiOf({ kind }: FaultRule): LogEntry['api'] | undefined {
  if (kind === 'rate_limited' || kind === 'gateway_away') return 'management';
  return kind === 'sign_in_refused' ? 'runtime' : undefined;
}

export function answerOf(rule: AnsweringRule, call: LogEntry): Answer {
  switch (rule.kind) {
    case 'rate_limited':
      return rateLimited(rule.windowMs ?? 60_000).answer;
    case 'gateway_away':
      return refusal(401, 'Authentication failed').answer;
    case 'sign_in_refused':
      return SIGN_IN_REFUSALS[rule.reason]().answer;
    case 'page':
      return { status: rule.status, headers: { 'content-type': rule.type ?? 'text/html' }, body: () => rule.body };
    case 'status':
      return call.api === 'runtime' ? runtimeStatus(rule) : managementStatus(rule);
  }
}

type StatusRule = Extract<AnsweringRule, { kind: 'status' }>;

const MESSAGES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Authentication failed',
  403: 'Permission denied for this resource',
  404: 'Resource not found',
  405: 'Method not allowed',
  409: 'Resource already exists',
  413: 'Request failed',
  415: 'Request failed',
  422: 'Invalid request payload',
};
const PAGES: Readonly<Record<number, string>> = { 502: 'Bad Gateway', 504: 'Gateway Timeout' };

function managementStatus({ status, message, retryAfter }: StatusRule): Answer {
  const page = PAGES[status];
  if (page !== undefined) return htmlPage(status, message ?? page);
  const headers: Record<string, string> = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  if (status === 429 && message === undefined) return { ...rateLimited(60_000).answer, headers };
  return refusal(status, message ?? MESSAGES[status] ?? 'Something went wrong', headers).answer;
}

function runtimeStatus({ status, message, retryAfter }: StatusRule): Answer {
  const page = PAGES[status];
  if (page !== undefined) return htmlPage(status, message ?? page);
  const error = status === 401 ? 'invalid_client' : status < 500 ? 'invalid_request' : 'server_error';
  const { answer } = oauthRefusal(status, error, message);
  return retryAfter === undefined
    ? answer
    : { ...answer, headers: { ...answer.headers, 'retry-after': String(retryAfter) } };
}
