/** The queues that requests come in by, and what requests are called. */

/** For any program that Redis lets write here: it may ask for anything, unless `queue.requests` is off. */
export const CONTROL = 'control';

/** For rekeyd's own commands and its HTTP API, which authenticate their users themselves. Producers have no right to write here. */
export const REQUESTS = 'requests';

/** How the ids of rekeyd's own requests begin: from the command line, the HTTP API, a report of a leaked key. */
const OWN_ID = /^(?:q[A-Za-z0-9_-]{12}$|http-|leak-)/;

/** A job of another program that takes such an id would pass for a request of rekeyd's own in the audit log. */
export function isReserved(queue: string, job: string): boolean {
  return queue === CONTROL && OWN_ID.test(job);
}

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
 * others. BullMQ's clients allow no colon in an id. A program that writes to Redis itself may use one, so it is replaced here.
 */
export function requestName(queue: string, job: string): string {
  const producer = producerOf(queue);
  return producer === null ? job.replaceAll(':', '%3A') : `${producer}:${job}`;
}
