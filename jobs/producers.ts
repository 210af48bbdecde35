/** Which producer made a request, and what it may ask for. A job does not say which Redis user added it; the queue that it lies in does, since Redis decides who may write there. */

import type { Job } from 'bullmq';
import type { Config } from '../src/config/model.ts';
import type { Producer, ProducerRight } from '../src/config/queue.ts';
import { appOf } from '../src/rotation/facts.ts';
import type { Claim } from './claim.ts';
import { CONTROL, producerOf, REQUESTS } from './inboxes.ts';
import type { Request } from './schemas.ts';
import { isNamed } from './selection.ts';

/** Null: the job lies in no producer's queue. */
export function producerClaim({ queueName, timestamp }: Pick<Job, 'queueName' | 'timestamp'>): Claim | null {
  const name = producerOf(queueName);
  return name === null ? null : { claimedBy: `producer:${name}`, at: timestamp, isSigned: false };
}

/** Why a request from this queue is not answered; null: it is. For its sender. */
export function turnedDown(asked: Request, queue: string, { queue: config }: Pick<Config, 'queue'>): string | null {
  if (queue === REQUESTS) return null;
  const name = producerOf(queue);
  if (name === null) return config.requests === 'on' ? null : SWITCHED_OFF;
  // A worker listens to the queues of the producers that its config has.
  const producer = config.producers[name];
  return producer === undefined ? `The config has no producer ${name}.` : beyond(asked, name, producer);
}

const SWITCHED_OFF = `Requests in the queue ${CONTROL} are switched off (queue.requests: off). Ask in the queue of a producer that the config names, through the HTTP API, or with \`rekeyd rotate\`.`;

function beyond(asked: Request, name: string, { may, only }: Producer): string | null {
  if (may.length === 0) return `The producer ${name} is switched off (queue.producers.${name}.may is empty).`;
  const missing = rightsFor(asked).filter((right) => !may.includes(right));
  if (missing.length > 0) {
    return `The producer ${name} may not ask for ${missing.join(', ')}: queue.producers.${name}.may has ${may.join(', ')}.`;
  }
  if (only === null) return null;
  const outside = outsideOf(asked, only);
  return outside === null
    ? null
    : `The producer ${name} may not ask about ${outside}: queue.producers.${name}.only has ${only.join(', ')}.`;
}

function rightsFor(asked: Request): readonly ProducerRight[] {
  const flags = ['confirm', 'keep_standby', 'take_over', 'try_alg'] as const;
  return [asked.compromised === false ? 'rotate' : 'compromise', ...flags.filter((flag) => asked[flag])];
}

/** The first thing that is asked about and not allowed. A restricted producer names clients or an app, because a policy, a key, a KEK or a host may come to cover more clients later. */
function outsideOf({ select }: Request, only: readonly string[]): string | null {
  if (isNamed(select)) return select.clients.find((ref) => !only.includes(ref) && !only.includes(appOf(ref))) ?? null;
  if ('app' in select) return only.includes(select.app) ? null : select.app;
  if ('policy' in select) return `policy ${select.policy}`;
  const [what = 'all'] = Object.keys(select);
  return what === 'all' ? 'all clients' : `all that a ${what} is about`;
}
