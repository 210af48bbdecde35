/** A sweep: take in new clients of a policy, start a rotation for each that is due. Asking twice does no harm. */
import { policyFor } from '../src/config.ts';
import { type ClientRef, makeReference } from '../src/core/client.ts';
import type { ObservedClient } from '../src/core/document.ts';
import { dueAt, whyDue } from '../src/core/due.ts';
import { inWindows } from '../src/core/window.ts';
import { messageOf } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { clientPolicy } from '../src/world.ts';
import { FLEET_LANES, type JobContext, noteApiFailure } from './context.ts';
import type { Sweep } from './schemas.ts';
import { adoptClient, rotationId, startRotation } from './start.ts';

export interface SweepResult {
  readonly adopted: number;
  readonly started: number;
}

/** How many due clients are read from the index at a time. */
const PAGE = 1_000;

/** @throws the first failure, after every app that could be read was swept: the job is tried again for the rest */
export async function sweep({ policy, slot, reindex }: Sweep, context: JobContext): Promise<SweepResult> {
  if (reindex) await noteDueTimes(policy, context);
  const listed = new Map<ClientRef, Listed>();
  const failures: unknown[] = [];
  for (const { deployment, app } of appsOf(context, policy)) {
    try {
      for (const [ref, found] of await listClients(context, deployment, app)) listed.set(ref, found);
    } catch (error) {
      // Its clients are left alone this time: a list that cannot be read is not an empty list.
      await noteApiFailure(context, deployment, error);
      context.log.warn({ deployment, app, error: messageOf(error) }, 'the client list cannot be read');
      failures.push(error);
    }
  }
  const adopted = await adoptNew(listed, policy, context);
  const started = await startDue(listed, policy, slot, context);
  if (failures.length > 0) throw failures[0];
  return { adopted, started };
}

/** A client as the server listed it at `readAt`, ms on the store's clock: what was seen later stands. */
export interface Listed {
  readonly client: ObservedClient;
  readonly readAt: number;
}

/** How many of the rows that cannot be read are named in the log. */
const NAMED = 10;

/** The clients of one app, by reference, as the server lists them now, without those whose row cannot be read. @throws ApiError */
export async function listClients(
  { parts, log }: JobContext,
  deployment: string,
  app: string,
): Promise<ReadonlyMap<ClientRef, Listed>> {
  const readAt = await parts.store.now();
  const list = await parts.deployments.get(deployment)?.wacht.listClients(app);
  if (list !== undefined && list.unreadable.size > 0) {
    const rows = [...list.unreadable].slice(0, NAMED).map(([id, problem]) => ({ id, problem }));
    const message = 'some clients are shown in a way that cannot be read: they are left alone';
    log.warn({ deployment, app, count: list.unreadable.size, rows }, message);
  }
  return new Map(list?.clients.map((client) => [makeReference(deployment, app, client.id), { client, readAt }]));
}

/** A client that keys can be rotated for. Others are left alone unless somebody names them. */
export function isEligible(client: ObservedClient): boolean {
  return client.active && client.authMethod === 'private_key_jwt';
}

function appsOf({ parts }: JobContext, policy: string): readonly { deployment: string; app: string }[] {
  return parts.config.deployments.flatMap((deployment) =>
    deployment.apps
      .filter((app) =>
        app.clients === 'all' ? app.policy === policy : app.clients.some((client) => client.policy === policy),
      )
      .map((app) => ({ deployment: deployment.id, app: app.slug })),
  );
}

async function adoptNew(
  listed: ReadonlyMap<ClientRef, Listed>,
  policyName: string,
  context: JobContext,
): Promise<number> {
  const { parts } = context;
  const known = new Set(await parts.store.clientRefs());
  const fresh = [...listed].filter(
    ([ref, { client }]) => !known.has(ref) && isEligible(client) && policyFor(parts.config, ref)?.name === policyName,
  );
  let adopted = 0;
  await inParallel(fresh, FLEET_LANES, async ([ref, { client }]) => {
    const policy = clientPolicy(parts, ref);
    if (policy === null) return;
    const cause = { actor: `schedule:${policyName}`, reason: 'found in the client list', request: null };
    if (await adoptClient(parts.store, ref, client, policy, cause)) adopted += 1;
  });
  if (adopted > 0) await parts.identity.remember();
  return adopted;
}

async function startDue(
  listed: ReadonlyMap<ClientRef, Listed>,
  policyName: string,
  slot: string,
  context: JobContext,
): Promise<number> {
  const { parts, queues } = context;
  const now = await parts.store.now();
  let started = 0;
  for (const due of await dueRefs(context, policyName, now)) {
    const loaded = await parts.store.loadMany(due);
    await inParallel(due, FLEET_LANES, async (ref) => {
      const policy = clientPolicy(parts, ref);
      const record = loaded.get(ref)?.record;
      const found = listed.get(ref);
      if (policy === null || record === undefined || found === undefined || !isEligible(found.client)) return;
      const why = whyDue(record, policy, now);
      if (why === null || !inWindows(policy.windows, policy.timezone, now)) return;
      const asked = { actor: `schedule:${policyName}`, reason: why.message, request: null, compromised: null };
      const id = await startRotation(parts.store, ref, found, policy, {
        ...asked,
        id: rotationId(`sweep ${policyName} ${slot}`, ref),
      });
      await queues.wake(ref, id, false);
      started += 1;
    });
  }
  return started;
}

/** Due times are noted with each commit; a policy changed in the config changes them without one. */
async function noteDueTimes(policyName: string, { parts }: JobContext): Promise<void> {
  const refs = (await parts.store.clientRefs()).filter((ref) => policyFor(parts.config, ref)?.name === policyName);
  for (let at = 0; at < refs.length; at += PAGE) {
    for (const [ref, { record }] of await parts.store.loadMany(refs.slice(at, at + PAGE))) {
      const policy = clientPolicy(parts, ref);
      if (policy !== null) await parts.store.setDue(ref, dueAt(record, policy));
    }
  }
}

/** All due clients of the policy, page by page, read before anything is started: starting one changes the index. */
async function dueRefs(
  { parts }: JobContext,
  policyName: string,
  now: number,
): Promise<readonly (readonly ClientRef[])[]> {
  const pages: ClientRef[][] = [];
  for (let offset = 0; ; offset += PAGE) {
    const page = await parts.store.due(now, PAGE, offset);
    pages.push(page.filter((ref) => policyFor(parts.config, ref)?.name === policyName));
    if (page.length < PAGE) return pages;
  }
}
