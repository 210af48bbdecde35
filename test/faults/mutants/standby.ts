/** Keys that are kept ready: used too early, used although they leaked, never used, never replaced. */
import type { Mutant } from './mutant.ts';
import { call, conditionOf, declarationOf, literal, member } from './syntax.ts';

const STANDBY = 'src/core/standby.ts';

export const standby: readonly Mutant[] = [
  {
    name: 'standby-published',
    edits: [
      {
        file: 'src/core/desired.ts',
        within: 'publishedKeys',
        find: declarationOf('incoming'),
        put: (text) =>
          text.replace(': undefined', ": keyOf(record, record.standby?.kid ?? activeKey(record)?.kid ?? '')"),
      },
    ],
    caught: { in: 'standing-by', as: 'standby_published' },
  },
  {
    name: 'reported-key-goes-second',
    edits: [
      {
        file: 'src/core/desired.ts',
        within: 'publishedKeys',
        find: conditionOf(literal('cutover')),
        put: (text) => `${text} && (rotation.compromised === null || rotation.phase.name !== 'delivered')`,
      },
      {
        file: 'src/core/publication.ts',
        within: 'publication',
        find: conditionOf(call('isOfferMissing')),
        put: "isOfferMissing(record) || (rotation?.phase.name === 'cut_over' && hasDrifted(record, policy))",
      },
    ],
    caught: { in: 'standing-by', as: 'standby_patches' },
  },
  {
    name: 'exposed-standby-used',
    edits: [{ file: STANDBY, within: 'standbyStep', find: conditionOf(member('rotation.keepStandby')), put: 'false' }],
    caught: { in: 'standing-by', as: 'standby_exposed' },
  },
  {
    name: 'standby-not-spared',
    edits: [
      {
        file: STANDBY,
        within: 'standbyStep',
        find: conditionOf(member('rotation.keepStandby')),
        put: 'rotation.compromised !== null',
      },
    ],
    caught: { in: 'standing-by', as: 'standby_unused' },
  },
  {
    name: 'standby-never-replaced',
    edits: [{ file: STANDBY, within: 'whyUnfit', find: conditionOf(call('standbyUntil')), put: 'false' }],
    caught: { in: 'standing-by', as: 'standby_old' },
  },
  {
    name: 'standby-waits-for-window',
    edits: [
      {
        file: 'jobs/wave.ts',
        within: 'beginDue',
        find: conditionOf(member('policy.standby')),
        put: 'false',
      },
    ],
    caught: { in: 'standing-by', as: 'standby_old' },
  },
  {
    name: 'standby-never-made',
    edits: [{ file: STANDBY, within: 'standingBy', find: conditionOf(call('mayBeMade')), put: 'false' }],
    caught: { in: 'standing-by', as: 'standby_missing' },
  },
];
