/** What an endpoint says, before it is written to the socket. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Called just before the answer is written, so that it shows what is stored by then (somebody else may have been faster).
   * A string goes out as plain text, anything else as JSON, `undefined` as no body at all.
   */
  readonly body: () => unknown;
}

/** Thrown wherever a request is refused; carries the whole answer. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly answer: Answer;

  constructor(message: string, answer: Answer) {
    super(message);
    this.answer = answer;
  }
}

/** The management API's own refusals: `{"errors":[{"message","code"}]}`. */
export function refusal(status: number, message: string, headers: Record<string, string> = {}): Refusal {
  const body = { errors: [{ message, code: status }] };
  return new Refusal(message, { status, headers, body: () => body });
}

/** Refusals of the web framework before the handler runs, and of proxies in front of it: text, not JSON. */
export function plainRefusal(status: number, message: string): Refusal {
  return new Refusal(message, { status, body: () => message });
}

/** The runtime endpoints' refusals: RFC 6749 section 5.2, with the challenge that a 401 has to carry. */
export function oauthRefusal(status: number, error: string, description?: string): Refusal {
  const body = description === undefined ? { error } : { error, error_description: description };
  const headers: Record<string, string> =
    status === 401 ? { 'www-authenticate': `Basic realm="oauth", error="${error}"` } : {};
  return new Refusal(description ?? error, { status, headers, body: () => body });
}
