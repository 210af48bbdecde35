/** Whom, when and how often workers may touch. */
import type { Mutant } from './mutant.ts';
import { call, conditionOf, identifier, statementOf } from './syntax.ts';

const DEPLOYMENT = 'src/rotation/deployment.ts';

export const limits: readonly Mutant[] = [
  {
    name: 'ignore-retry-after',
    edits: [{ file: DEPLOYMENT, within: 'throttledMs', find: call('Math.min'), put: '0' }],
    caught: { in: 'throttled', as: 'retry_after' },
  },
  {
    name: 'ignore-windows',
    edits: [
      { file: 'jobs/wave.ts', within: 'isOpen', find: call('mayBegin'), put: 'true' },
      { file: 'jobs/begin-due.ts', within: 'beginOne', find: call('mayBegin'), put: 'true' },
    ],
    caught: { in: 'closed-windows', as: 'outside_window' },
  },
  {
    name: 'no-pause',
    edits: [{ file: DEPLOYMENT, within: 'pause', find: conditionOf(call('store.pause')), put: 'false' }],
    caught: { in: 'key-refused', as: 'pause' },
  },
  {
    name: 'go-on-without-lock',
    edits: [
      {
        file: 'jobs/workers.ts',
        within: 'attend',
        find: statementOf(call('worker.cancelJob')),
        put: 'void job;',
      },
    ],
    caught: { in: 'lock-lost', as: 'lock' },
  },
  {
    name: 'rotate-strangers',
    edits: [
      {
        file: 'src/core/due.ts',
        within: 'isScheduled',
        find: statementOf(identifier('adopt')),
        put: 'return isEligible(server.observed.client);',
      },
      { file: 'src/core/request.ts', within: 'request', find: conditionOf(identifier('isLeftAlone')), put: 'false' },
    ],
    caught: { in: 'left-alone', as: 'not_entrusted' },
  },
];
