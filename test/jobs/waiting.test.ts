/** Requests that wait, however many of them any program puts into the queue. */
import { expect, test } from 'vitest';
import { putOffRequests } from '../../jobs/waiting.ts';
import { rekeyd } from '../support/command.ts';
import { startFleet } from '../support/fleet.ts';

const HOUR = 3_600_000;
const COUNT = 250;
const LATER = Date.UTC(2100, 0, 1);

test('of many requests that were put off, those that are tried next are shown and the others are counted', async () => {
  const fleet = await startFleet();
  const [inbox] = fleet.queues.inboxes;
  if (inbox === undefined) throw new Error('there is no queue for requests');
  const data = { v: 1, select: { all: true }, reason: 'a drill', actor: 'test', compromised: false };
  // The last one that is added is tried first.
  const jobs = await inbox.addBulk(
    Array.from({ length: COUNT }, (_, index) => ({
      ...{ name: 'request', data },
      opts: { jobId: `r${index}`, timestamp: LATER + index, delay: HOUR - index * 1_000 },
    })),
  );
  await Promise.all(jobs.map((job) => job.updateProgress({ why: 'Redis is away.' })));

  const { requests, requests_more: more } = await putOffRequests(fleet.queues);
  expect([requests.length, more]).toEqual([100, 150]);
  expect(requests[0]).toEqual({ request: 'r150', reason: 'a drill', why: 'Redis is away.' });
  expect(requests.at(-1)).toMatchObject({ request: 'r249' });

  const told = await rekeyd(fleet, 'status');
  expect(told.match(/^WAITING {2}request r/gm)).toHaveLength(100);
  expect(told).toContain('WAITING  requests beside these: 150. They are tried later.');
});
