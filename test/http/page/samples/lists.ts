/** A list of clients, and the queues. */

import type { QueuesView } from '../../../../jobs/queues-view.ts';
import { parseReference } from '../../../../src/core/client.ts';
import type { ClientList, ClientQuery } from '../../../../src/status/views.ts';
import { DAY, HOUR, iso } from './common.ts';
import { STATUS } from './healthy-client.ts';
import { TROUBLED_CLIENT } from './troubled-client.ts';

export const CLIENT_LIST: ClientList = {
  clients: [
    { ...TROUBLED_CLIENT.status, state: 'halted', rotation: null },
    {
      ...STATUS,
      client: parseReference('185019846023/mcp-auth/9001'),
      client_id: 'mobile-app',
      state: 'failed',
      last_error: 'The server refuses the new key: 400 invalid_request: InvalidAlgorithm. The old key was put back.',
    },
    {
      ...STATUS,
      client: parseReference('185019846023/billing/77'),
      client_id: 'billing-batch',
      state: 'paused',
      paused: { policy: 'payments', actor: 'alice', reason: 'Black Friday', since: iso(-DAY), until: null },
    },
    {
      ...STATUS,
      client: parseReference('185019846023/billing/78'),
      client_id: 'reports',
      state: 'found',
      active: null,
      policy: null,
      next_due: null,
    },
    ...[1, 2, 3, 4].map((index) => ({
      ...STATUS,
      client: parseReference(`185019846023/mcp-auth/800${index}`),
      client_id: `service-${index}`,
    })),
  ],
  next: 'cursor-2',
  matching: 128,
  reading: { read: 40, of: 128 },
};

export const QUERY: ClientQuery = {
  text: 'pay',
  state: 'failed',
  app: '185019846023/mcp-auth',
  policy: 'default',
  condition: 'drifted',
  order: 'urgency',
  after: 'cursor-1',
  limit: 50,
  only: null,
};

export const QUEUES: QueuesView = {
  at: iso(0),
  queues: [
    {
      queue: 'rotate-185019846023',
      what: 'rotations of deployment 185019846023',
      waiting: 12,
      active: 3,
      delayed: 118,
      failed: 0,
    },
    {
      queue: 'requests',
      what: 'requests of commands, the API and this page',
      waiting: 0,
      active: 0,
      delayed: 1,
      failed: 2,
    },
    { queue: 'upkeep', what: 'sweeps, lists of clients, seals', waiting: 0, active: 1, delayed: 2, failed: 0 },
  ],
  failed: [
    {
      queue: 'requests',
      job: 'qAb3',
      name: 'request',
      reason: 'No client is selected: 185019846023/mcp-auth/1 is not known.',
      at: iso(-HOUR),
    },
  ],
  more: 1,
};
