/** What an endpoint says, before it is written to the socket. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Called just before the answer is written, so that it shows what is stored by then (somebody else may have been faster).
   * A string goes out as it is, anything else as JSON, `undefined` as no body at all.
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

/** The platform's own refusals: `{"errors":[{"message","code"}]}`. Its web framework's refusals come in this form too, on both APIs. */
export function refusal(status: number, message: string, headers: Record<string, string> = {}): Refusal {
  const body = { errors: [{ message, code: status }] };
  return new Refusal(message, { status, headers, body: () => body });
}

/** The runtime endpoints' refusals: RFC 6749 section 5.2, with the challenge that a 401 has to carry. */
export function oauthRefusal(status: number, error: string, description?: string): Refusal {
  const body = description === undefined ? { error } : { error, error_description: description };
  const headers: Record<string, string> =
    status === 401 ? { 'www-authenticate': `Basic realm="oauth", error="${error}"` } : {};
  return new Refusal(description ?? error, { status, headers, body: () => body });
}

/** What a proxy in front of the platform sends. */
export function htmlPage(status: number, title: string): Answer {
  const html = `<html>\n<head><title>${status} ${title}</title></head>\n<body><h1>${status} ${title}</h1></body>\n</html>\n`;
  return { status, headers: { 'content-type': 'text/html' }, body: () => html };
}
