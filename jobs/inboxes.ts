/** The queues that requests come in by, and what requests are called. */

/** For any program. Each program that Redis lets write here may ask for anything, unless `queue.requests` is off. */
export const CONTROL = 'control';

/** For rekeyd's own commands and its HTTP API, which check for themselves who asks. Producers have no right to write here. */
export const REQUESTS = 'requests';

const OF_PRODUCER = `${CONTROL}-`;

export function producerQueue(name: string): string {
  return `${OF_PRODUCER}${name}`;
}

/** Null: the queue belongs to no producer. */
export function producerOf(queue: string): string | null {
  return queue.startsWith(OF_PRODUCER) ? queue.slice(OF_PRODUCER.length) : null;
}

/**
 * Names a request in rotations, log and audit. Job ids are numbers that each queue counts for itself: the name of a producer keeps its ids apart from all
 * others. BullMQ's clients allow no colon in an id, but who writes to Redis directly does not ask them: such an id is written otherwise.
 */
export function requestName(queue: string, job: string): string {
  const producer = producerOf(queue);
  return producer === null ? job.replaceAll(':', '%3A') : `${producer}:${job}`;
}
