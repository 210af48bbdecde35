/** What every job works with. */
import type { AuditDraft } from '../src/core/audit.ts';
import type { Kek } from '../src/keys/sealed.ts';
import type { Log, Resources } from '../src/rotation/resources.ts';
import { ApiError } from '../src/wacht/api-error.ts';
import type { Queues } from './queues.ts';

export interface JobContext {
  readonly parts: Resources;
  readonly queues: Queues;
  readonly keks: readonly Kek[];
  readonly log: Log;
  /** How long a job's lock holds without renewal, in ms: longer than any PATCH, and how long a killed worker's job stays where it is. */
  readonly lockMs: number;
}

/** How many clients of a fleet are worked on at once where nothing but the store is asked. */
export const FLEET_LANES = 16;

/** The brake: nothing more is sent to a deployment whose API key was refused, until `reconcile` sees it accepted again. */
export async function pauseDeployment(
  { parts, queues, log }: JobContext,
  deployment: string,
  message: string,
): Promise<void> {
  const first = await parts.store.pause(deployment, [deploymentEntry('deployment.paused', deployment, message)]);
  await queues.rotateQueue(deployment).pause();
  if (first) {
    log.error(
      { deployment, error: message },
      'the API key is refused: this deployment is paused. Check its key; it resumes by itself',
    );
  }
}

/** Takes the brake off for good. */
export async function resumeDeployment({ parts, log }: JobContext, deployment: string): Promise<void> {
  const message = 'the API key is accepted again';
  const first = await parts.store.resume(deployment, [deploymentEntry('deployment.resumed', deployment, message)]);
  if (first) log.info({ deployment }, `${message}: resumed`);
}

function deploymentEntry(
  type: 'deployment.paused' | 'deployment.resumed',
  deployment: string,
  message: string,
): AuditDraft {
  return { type, client: null, rotation: null, actor: 'rekeyd', reason: message, data: { deployment } };
}

/** Pauses the deployment when that is what the failure means. Returns what to say of it. */
export async function noteApiFailure(context: JobContext, deployment: string, error: unknown): Promise<void> {
  if (error instanceof ApiError && error.reply.class === 'credential') {
    await pauseDeployment(context, deployment, error.reply.message);
  }
}
