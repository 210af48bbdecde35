/** What is done with a fleet: who goes first, who is waited for, who is let in, and what a person takes back. */
import type { Mutant } from './mutant.ts';
import { call, conditionOf, declarationOf, identifier, member, propertyOf, statementOf } from './syntax.ts';

const WAVE = 'src/core/wave.ts';

export const fleet: readonly Mutant[] = [
  {
    name: 'no-cohort',
    edits: [{ file: WAVE, within: 'cohortSize', find: statementOf(call('Math.min')), put: 'return due;' }],
    caught: { in: 'waves', as: 'no_cohort' },
  },
  {
    name: 'rest-before-proof',
    edits: [
      { file: WAVE, within: 'waveStep', find: conditionOf(identifier('waiting')), put: 'true' },
      { file: WAVE, within: 'waveStep', find: conditionOf(identifier('active')), put: 'false' },
    ],
    caught: { in: 'waves', as: 'cohort' },
  },
  {
    name: 'wave-never-stops',
    edits: [{ file: WAVE, within: 'waveStep', find: conditionOf(identifier('stopAfter')), put: 'false' }],
    caught: { in: 'waves', as: 'stopped_wave' },
  },
  {
    name: 'cutover-unready',
    edits: [
      {
        file: 'src/core/readiness.ts',
        within: 'holdingForSigners',
        find: conditionOf(member('ready.length')),
        put: 'true',
      },
    ],
    caught: { in: 'readiness', as: 'not_ready' },
  },
  {
    name: 'overlap-ends-anyway',
    edits: [
      {
        file: 'src/core/retirement.ts',
        within: 'isHeldBySigners',
        find: statementOf(call('recentReports')),
        put: 'return isUnheard;',
      },
    ],
    caught: { in: 'readiness', as: 'overlap_cut' },
  },
  {
    name: 'hold-unproven',
    edits: [{ file: 'src/rotation/import.ts', within: 'check', find: statementOf(call('tools.proofs.run')), put: '' }],
    caught: { in: 'enrolment', as: 'held_unproven' },
  },
  {
    name: 'believe-any-report',
    edits: [
      {
        file: 'src/core/heard.ts',
        within: 'aboutOurs',
        find: declarationOf('isOurs'),
        put: 'const isOurs = (_kid: string) => [keys, former].length > 0;',
      },
      { file: 'src/core/adoption.ts', within: 'signsWith', find: conditionOf(identifier('isOffered')), put: 'true' },
    ],
    caught: { in: 'enrolment', as: 'not_entrusted' },
  },
  {
    name: 'offer-in-place-of-theirs',
    edits: [
      {
        file: 'src/core/desired.ts',
        within: 'publicSet',
        find: conditionOf(call('foreignCameFirst')),
        put: 'false',
      },
    ],
    caught: { in: 'enrolment', as: 'offer' },
  },
  {
    name: 'leave-disposable',
    edits: [
      {
        file: 'src/wacht/disposable.ts',
        within: 'makeDisposable',
        find: propertyOf('deactivate'),
        put: '() => Promise.resolve(null)',
      },
    ],
    caught: { in: 'enrolment', as: 'probe_left' },
  },
  {
    name: 'rollback-keeps-new-key',
    edits: [
      {
        file: 'src/core/ending.ts',
        within: 'activated',
        find: declarationOf('retirements'),
        put: 'const retirements = rotation.rollsBack === undefined ? [...record.retirements, leaving] : record.retirements;',
      },
    ],
    caught: { in: 'rollback', as: 'rollback' },
  },
  {
    name: 'no-pause-by-people',
    edits: [
      { file: 'jobs/begin-due.ts', within: 'beginOne', find: call('isPaused'), put: 'false' },
      { file: 'jobs/begin-due.ts', within: 'examined', find: conditionOf(call('pauseOf')), put: 'false' },
    ],
    caught: { in: 'rollback', as: 'paused_schedule' },
  },
  {
    name: 'no-freeze',
    edits: [
      {
        file: 'src/core/calendar.ts',
        within: 'isFrozen',
        find: statementOf(call('freezesAt')),
        put: 'return [freeze, timezone, nowMs].length === 0;',
      },
    ],
    caught: { in: 'rollback', as: 'frozen_schedule' },
  },
];
