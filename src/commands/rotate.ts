import { claimed } from '../../jobs/claim.ts';
import { newRequestId, type Queues } from '../../jobs/queues.ts';
import type { NotEnrolled, RequestResult } from '../../jobs/request.ts';
import { countWorkers, requestResult } from '../../jobs/result.ts';
import { contradiction, problemsOf, type RequestInput, requestSchema } from '../../jobs/schemas.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { parseReference } from '../core/client.ts';
import { RekeydError } from '../errors.ts';
import { keksOf } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import { answerOf } from '../store/redis/patience.ts';
import type { Store } from '../store/store.ts';
import { monotonic } from '../time.ts';
import { follow, type Goal, type RotationOutcome } from './follow.ts';
import { actor, awaitInterruption, caller, type Globals, withResourcesOf } from './open.ts';
import { printOutcomes, watchRotations } from './outcomes.ts';
import { note, noteAbout, print, printJson, stderrScreen } from './output.ts';
import { openProgress } from './progress.ts';
import { withQueues } from './queues.ts';
import { optionalValue, type SelectOptions, selectionOf, usage } from './select.ts';
import { unknownAmong, withoutPolicy } from './unknown.ts';

export interface RotateOptions extends SelectOptions {
  readonly reason?: string;
  readonly takeOver?: boolean;
  readonly tryAlg?: boolean;
  /** Also a compromise that the breaker would hold back. */
  readonly yes?: boolean;
  /** True without a value. */
  readonly wait?: string | true;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

const UNSURE = 'Whether the request is queued is not known: ask again, for a client asked for twice is rotated once.';

/** One control job for all that was asked for; the workers do the rest, whether or not anybody waits here. */
export async function rotate(globals: Globals, named: readonly string[], options: RotateOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const waited = optionalValue(options.wait, named, config);
  const goal = goalOf(options.wait, waited.value);
  const asked = requestOf(waited.clients, options, config);
  const startedAt = monotonic();
  const ask = async (parts: Resources, queues: Queues) => {
    const { signal, release } = awaitInterruption(globals);
    try {
      const workers = await answerOf(countWorkers(queues), { signal }, 'Nothing was asked for yet.');
      if (workers === null)
        throw new RekeydError('request_failed', 'Stopped before Redis answered: nothing was asked for.');
      const { request, unknown } = await withoutUnknown(asked, workers > 0, parts);
      const signing = { store: parts.store, keks: keksOf(config) };
      const job = newRequestId();
      const signed = await claimed(request, job, caller().claimedBy, signing);
      const id = await answerOf(queues.request(signed, job), { signal }, UNSURE);
      if (id === null) throw new RekeydError('request_failed', `Stopped before Redis answered. ${UNSURE}`);
      if (workers === 0 && goal === null) return leftBehind(id, unknown, options);
      if (workers === 0) note(`${noWorker(id)} Start one with \`rekeyd start\`; waiting for it …`);
      const answer = await resultOf(queues, id, signal);
      if (answer === null) return stoppedWaiting(id, options);
      const result = { ...answer, errors: [...unknown, ...(answer.errors ?? [])] };
      if (goal === null || signal.aborted) return tell(result, options);
      return await followAll(parts.store, result, { goal, signal, startedAt }, options);
    } finally {
      release();
    }
  };
  return withResourcesOf(config, (parts) => withQueues(parts, (queues) => ask(parts, queues)));
}

function goalOf(given: RotateOptions['wait'], value: string | null): Goal | null {
  if (given === undefined) return null;
  if (value === null || value === 'active') return 'active';
  if (value === 'finished') return 'finished';
  throw usage(`--wait goes alone or with "finished", not with ${JSON.stringify(value)}.`);
}

function requestOf(clients: readonly string[], options: RotateOptions, config: Config): RequestInput {
  const { select, compromised } = selectionOf(clients, options, config);
  if (select === null) throw usage('Say which clients to rotate: deployment/app-slug/id …, --app, --policy or --all.');
  if (options.tryAlg && !('clients' in select)) throw usage('--try-alg is about clients that you name: name them.');
  const fallback =
    compromised === false ? 'asked for on the command line' : 'reported as compromised on the command line';
  const request = {
    v: 1 as const,
    select,
    reason: options.reason ?? fallback,
    actor: actor(),
    compromised,
    keep_standby: options.keepStandby ?? false,
    confirm: options.yes ?? false,
    take_over: options.takeOver ?? false,
    try_alg: options.tryAlg ?? false,
  };
  const { error, data } = requestSchema.safeParse(request);
  if (error !== undefined) throw usage(`This cannot be asked for: ${problemsOf(error, request).join('; ')}.`);
  const wrong = contradiction(data);
  if (wrong !== null) throw usage(wrong);
  return request;
}

async function resultOf(queues: Queues, id: string, signal: AbortSignal): Promise<RequestResult | null> {
  const onRetry = (why: string) => note(`Not yet: ${why} It is tried again …`);
  return (await requestResult(queues, id, { signal, onRetry })) as RequestResult | null; // what `fanOut` returns, through JSON
}

function noWorker(id: string): string {
  return `Request ${id} is queued, but no worker is connected.`;
}

/** Somebody asked, and did not ask to wait. */
function leftBehind(id: string, unknown: Errors, { json }: RotateOptions): number {
  note(`${noWorker(id)} It is worked on when one starts (\`rekeyd start\`).`);
  if (json) printJson({ request: id, rotations: [], errors: unknown });
  noteErrors(unknown);
  return unknown.length > 0 ? 1 : 0;
}

/**
 * The request without clients that nobody knows. Workers say so of clients that the API does not list; where none is connected, it is found out here. What the
 * config does not name would wait for a worker with a config that does.
 * @throws RekeydError `not_found` when it is about nobody else
 */
async function withoutUnknown(
  request: RequestInput,
  hasWorkers: boolean,
  parts: Resources,
): Promise<{ readonly request: RequestInput; readonly unknown: Errors }> {
  const { select } = request;
  if (!('clients' in select)) return { request, unknown: [] };
  const named = select.clients.map(parseReference);
  const unknown = hasWorkers ? withoutPolicy(named, parts.config) : await unknownAmong(named, parts);
  const clients = named.filter((ref) => !unknown.some(({ client }) => client === ref));
  if (clients.length > 0) return { request: { ...request, select: { clients } }, unknown };
  const why = unknown.map(({ message }) => message).join(' ');
  throw new RekeydError('not_found', `Nothing was asked for: no client that is named is known. ${why}`);
}

function stoppedWaiting(id: string, { json }: RotateOptions): number {
  note(`Stopped waiting. Request ${id} stays queued and is worked on as soon as a worker is there.`);
  if (json) printJson({ request: id, rotations: [], errors: [] });
  return 1;
}

type Errors = NonNullable<RequestResult['errors']>;

function tell(result: RequestResult, { json, compromised }: RotateOptions): number {
  const { rotations, errors = [], skipped = [], taken_over = [] } = result;
  if (json) printJson({ rotations, errors, skipped, taken_over });
  else for (const { id, client } of rotations) print(`${id}  ${client}`);
  noteErrors(errors);
  noteNotEnrolled(result, compromised !== undefined);
  if (rotations.length + errors.length === 0) note(nothingStarted(skipped.length));
  return isDone(result, compromised !== undefined) ? 0 : 1;
}

function nothingStarted(skipped: number): string {
  if (skipped === 0) return 'Nothing was started: no client with private_key_jwt matches.';
  return skipped === 1
    ? 'Nothing was started: the one client that matches is not enrolled.'
    : `Nothing was started: none of the ${skipped} clients is enrolled.`;
}

/** After a compromise, what was skipped still signs in with a key that may have leaked. */
function isDone({ rotations, errors = [], skipped = [] }: RequestResult, isCompromise: boolean): boolean {
  const isMissed = skipped.length > 0 && (isCompromise || rotations.length === 0);
  return errors.length === 0 && !isMissed;
}

/** How many are named. */
const NAMED = 20;

function noteNotEnrolled({ skipped = [], taken_over = [] }: RequestResult, isCompromise: boolean): void {
  const left = isCompromise ? 'STILL SIGN IN with their present keys' : 'were left alone';
  noteClients(skipped, `Not enrolled: these ${left}; --take-over rotates them too.`);
  noteClients(
    taken_over,
    'Not enrolled before: their applications must take the new key from their key folders at once, or they cannot sign in.',
  );
}

function noteClients(clients: readonly NotEnrolled[], heading: string): void {
  if (clients.length === 0) return;
  note(heading);
  for (const { client, enrolment } of clients.slice(0, NAMED)) note(`  ${client} (${enrolment})`);
  if (clients.length > NAMED) note(`  and ${clients.length - NAMED} more`);
}

async function followAll(
  store: Store,
  result: RequestResult,
  { goal, signal, startedAt }: { readonly goal: Goal; readonly signal: AbortSignal; readonly startedAt: number },
  { json = false, verbose = false, compromised }: RotateOptions,
): Promise<number> {
  const { rotations, errors = [], skipped = [], taken_over = [] } = result;
  const progress = openProgress(stderrScreen());
  const watch = watchRotations({ goal, total: rotations.length, verbose, json }, progress);
  try {
    await follow(store, rotations, goal, { signal }, watch);
  } finally {
    progress.end();
  }
  if (signal.aborted) note('Stopped waiting. The rotations go on; `rekeyd status` shows how far they are.');
  if (json) printJson({ rotations: inOrderOf(rotations, watch.outcomes()), errors, skipped, taken_over });
  else if (rotations.length + errors.length === 0) note(nothingStarted(skipped.length));
  else printOutcomes(watch, errors, monotonic() - startedAt);
  if (json) noteErrors(errors);
  noteNotEnrolled(result, compromised !== undefined);
  return isDone(result, compromised !== undefined) && watch.isGood ? 0 : 1;
}

/** As the request answered them. */
function inOrderOf(
  rotations: RequestResult['rotations'],
  outcomes: readonly RotationOutcome[],
): readonly RotationOutcome[] {
  const byId = new Map(outcomes.map((outcome) => [outcome.id, outcome]));
  return rotations.flatMap(({ id }) => byId.get(id) ?? []);
}

function noteErrors(errors: Errors): void {
  for (const { client, message } of errors) noteAbout(client, message);
}
