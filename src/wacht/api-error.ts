import type { FailedReply } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';

/** A Wacht call that did not succeed, with its classified reply. Code `api_failed`. */
export class ApiError extends RekeydError {
  readonly reply: FailedReply;

  /** @param next what to do; absent: what usually has to be done about such a reply */
  constructor(what: string, reply: FailedReply, next = nextStep(reply)) {
    const status = reply.status === null ? '' : ` with HTTP ${reply.status}`;
    super('api_failed', `${what} failed${status}: ${reply.message}. ${next}`);
    this.reply = reply;
  }
}

function nextStep(reply: FailedReply): string {
  return reply.status === 404 ? NOT_THERE : NEXT[reply.class];
}

const NOT_THERE =
  'Check the deployment, the app and the client in the config against the Wacht console, and url_style if the config sets it: API keys (sk_…) need flat, access tokens deployment.';

const NEXT = {
  refused: 'Asking again changes nothing: the server does not take this value.',
  credential:
    'Check that the API key of the deployment is valid and not expired. It may pass: the platform answers the same while its own key check is down.',
  forbidden: 'Give the deployment’s API key the right to manage OAuth clients.',
  throttled: 'Ask again later, or lower the deployment’s rate_limit.',
  unknown: 'Ask again; if this stays so, check api_url, proxy and ca, the network and the state of Wacht.',
} as const satisfies Record<FailedReply['class'], string>;
