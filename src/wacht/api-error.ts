import type { FailedReply } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';

/** A Wacht call that did not succeed, with its classified reply. Code `api_failed`. */
export class ApiError extends RekeydError {
  readonly reply: FailedReply;

  constructor(what: string, reply: FailedReply) {
    const status = reply.status === null ? '' : ` with HTTP ${reply.status}`;
    super('api_failed', `${what} failed${status} (${reply.class}): ${reply.message}. ${NEXT[reply.class]}`);
    this.reply = reply;
  }
}

const NEXT = {
  refused:
    'Asking again changes nothing: check the deployment, app and client in the config against the Wacht console.',
  credential: 'Check that the deployment’s API key is valid.',
  forbidden: 'Give the deployment’s API key the right to manage OAuth clients.',
  throttled: 'Ask again later, or lower the deployment’s rate_limit.',
  unknown: 'Ask again; if this stays so, check api_url, the network and the state of Wacht.',
} as const satisfies Record<FailedReply['class'], string>;
