/** What a request with a client assertion came to: a fetch `Response`, or any object with these members. */
export interface Answer {
  /** HTTP status. */
  readonly status: number;
  /** The `error` of the OAuth error body (RFC 6749 section 5.2), when the caller has read it. */
  readonly error?: unknown;
  /** `Headers`, or a record with names in lower case. The signer reads `date` to tell a wrong clock from a bad key. */
  readonly headers?: object;
  /** As `Response.clone`: lets the signer read the error and leave the body to the caller. */
  clone?(): { json(): Promise<unknown> };
}

/**
 * Whether the server may have refused the key: 401, or 400 with `invalid_client` or `invalid_request` (some servers say that for a signature
 * they cannot verify). A 400 with an unknown error counts too: nothing was granted, so asking again is safe.
 */
export async function isRefusal(answer: Answer): Promise<boolean> {
  if (answer.status === 401) return true;
  if (answer.status !== 400) return false;
  const error = answer.error ?? (await errorOf(answer));
  return error === undefined || error === null || error === 'invalid_client' || error === 'invalid_request';
}

/** Whether the answer shows that the server took the key. An answer that is neither this nor a refusal says nothing about the key. */
export function isAccepted({ status }: Answer): boolean {
  return status >= 200 && status < 300;
}

/** The oldest of the three forms of a date in HTTP is UTC, too, and does not say so (RFC 9110 section 5.6.7). */
const ASCTIME = /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/** What the server's clock says, in ms since the Unix epoch; null when the answer does not tell. */
export function dateOf({ headers = {} }: Answer): number | null {
  const text =
    'get' in headers && typeof headers.get === 'function' ? headers.get('date') : 'date' in headers && headers.date;
  const date = typeof text === 'string' ? Date.parse(ASCTIME.test(text) ? `${text} GMT` : text) : Number.NaN;
  return Number.isNaN(date) ? null : date;
}

/** Drops an answer that is not read, so that its connection is free again. */
export async function discard(answer: Answer): Promise<void> {
  if ('body' in answer && answer.body instanceof ReadableStream && !answer.body.locked) await answer.body.cancel();
}

async function errorOf(answer: Answer): Promise<unknown> {
  try {
    const body = await answer.clone?.().json();
    return typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  } catch {
    return undefined; // already read, or not JSON
  }
}
