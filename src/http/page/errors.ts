/** Errors as a person sees them on the page: what happened, and what to do. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../../rotation/resources.ts';
import { loggedProblem, type Problem } from '../problem.ts';
import { type Shown, sendPage } from './send.ts';
import type { SessionBook } from './session/session.ts';
import { visitorOf } from './session/visitor.ts';
import { problemPage } from './views/problem.ts';

const TITLES: Readonly<Record<number, string>> = {
  403: 'Not allowed',
  404: 'Not found',
  409: 'Not now',
  413: 'Too much',
  422: 'Nothing was done',
  429: 'Too many requests',
  503: 'rekeyd cannot answer now',
};

/** Where the error itself does not say what to do. */
const TO_DO: Readonly<Record<number, string>> = {
  429: 'Wait a moment, and reload this page.',
  500: 'Try again. The log of rekeyd says what went wrong.',
  503: 'Reload this page in a moment. Rotations that are under way go on when Redis answers again: nothing is lost.',
};

/**
 * The page of an error. Errors of the server also go to the log.
 * @param isForm a form was sent, and nobody had been admitted yet: it has done nothing
 */
export function errorPage(error: unknown, log: Log, isForm: boolean): Shown {
  const problem = loggedProblem(error, log);
  return pageOf(problem, isForm && problem.status === 503 ? FORM_AGAIN : TO_DO[problem.status]);
}

const FORM_AGAIN = 'Nothing was done. Go back, and send the form again in a moment.';

/** Where no route answers, such as at an unknown address. A visitor who has signed in keeps the navigation. */
export async function sendProblemPage(
  request: FastifyRequest,
  reply: FastifyReply,
  problem: Problem,
  sessions: SessionBook,
): Promise<FastifyReply> {
  // Also without Redis the answer is about the address.
  const visitor = await visitorOf(request, sessions).catch(() => null);
  return sendPage(reply, pageOf(problem), { visitor, notice: null });
}

function pageOf({ status, detail, errors = [], headers = {} }: Problem, toDo = TO_DO[status]): Shown {
  const title = TITLES[status] ?? (status >= 500 ? 'Something went wrong' : 'This cannot be done');
  const what = errors.map(({ client, detail: why }) => (client === undefined ? why : `${client}: ${why}`));
  const said = toDo === undefined ? detail : `${detail} ${toDo}`;
  return { status, headers, title, body: problemPage({ status, title, detail: said, errors: what }) };
}
