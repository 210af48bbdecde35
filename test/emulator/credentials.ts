/** Who may call the management API, and how often. */
import { refusal } from './answer.ts';

export interface Credential {
  /** The deployment that it belongs to. */
  readonly deployment: string;
  /** With `read`, anything but GET is 403; an API key (`api_key`) is never refused for that. */
  readonly access: 'read' | 'write';
  /**
   * `api_key`: taken at `/oauth/apps/…` only, as the real server does it · `access_token`: of OAuth, taken at `/deployments/{id}/…` only ·
   * `either`: taken at both, as the reference has it.
   */
  readonly kind: 'api_key' | 'access_token' | 'either';
}

/** No more than `max` calls in any `windowMs`. */
export interface RateLimit {
  readonly max: number;
  readonly windowMs: number;
  /**
   * Which calls share a bucket. `app` (default): all calls with API keys of a deployment, and apart from them all with its access tokens.
   * `key`: the calls with one key to one path, so that each client has a bucket of its own.
   */
  readonly per?: 'app' | 'key';
}

/** What the platform does unless a deployment has rules of its own. */
export const WACHT_RATE_LIMITS: readonly RateLimit[] = [{ max: 1000, windowMs: 60_000 }];

export class RateLimits {
  readonly #limits: readonly RateLimit[];
  readonly #now: () => number;
  /** When the calls of a bucket came that still count. */
  readonly #calls = new Map<string, number[]>();

  constructor(limits: readonly RateLimit[], now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * Counts a call with a key that is good, whatever becomes of it afterwards. One that is refused here does not count.
   * @throws Refusal 429
   */
  count(key: string, { deployment, kind }: Credential, path: string): void {
    let wait = Number.POSITIVE_INFINITY;
    for (const { max, windowMs, per = 'app' } of this.#limits) {
      const owner = per === 'app' ? `${deployment} ${kind === 'access_token' ? 'tokens' : 'keys'}` : `${key} ${path}`;
      if (!this.#take(`${per} ${owner} ${windowMs}`, max, windowMs)) wait = Math.min(wait, windowMs);
    }
    if (wait !== Number.POSITIVE_INFINITY) throw rateLimited(wait);
  }

  #take(bucket: string, max: number, windowMs: number): boolean {
    const now = this.#now();
    const calls = (this.#calls.get(bucket) ?? []).filter((at) => at > now - windowMs);
    const free = calls.length < max;
    if (free) calls.push(now);
    this.#calls.set(bucket, calls);
    return free;
  }
}

/** The platform prints the milliseconds of the whole window as seconds, and sends no header. */
export function rateLimited(windowMs: number) {
  return refusal(429, `Rate limit exceeded. Retry after ${windowMs} seconds`);
}
