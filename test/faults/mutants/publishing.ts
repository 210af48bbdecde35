/** What is published, and when: the steps of a rotation in another order, or without one of them. */
import type { Mutant } from './mutant.ts';
import {
  call,
  conditionOf,
  declarationOf,
  identifier,
  literal,
  objectWith,
  propertyOf,
  statementOf,
} from './syntax.ts';

const PLAN = 'src/core/plan.ts';
const LOOP = 'src/rotation/loop.ts';
const COPY = 'src/rotation/working-copy.ts';
const DESIRED = 'src/core/desired.ts';

export const publishing: readonly Mutant[] = [
  {
    name: 'activate-before-proof',
    edits: [
      {
        file: PLAN,
        within: 'provingNew',
        find: objectWith({ do: 'prove_new' }),
        put: `{ do: 'take_unproven', kid }`,
      },
    ],
    caught: { in: 'calm', as: 'unproven' },
  },
  {
    name: 'drop-foreign-keys',
    edits: [{ file: DESIRED, within: 'publicSet', find: call('publishedForeign'), put: '[] as PublishedKey[]' }],
    caught: { in: 'calm', as: 'foreign_key' },
  },
  {
    name: 'forget-to-erase',
    edits: [
      {
        file: 'src/rotation/decide.ts',
        within: 'erasedWith',
        find: statementOf(call('record.keys.flatMap')),
        put: 'return [];',
      },
    ],
    caught: { in: 'calm', as: 'leftover' },
  },
  {
    name: 'destroy-unrefused',
    edits: [{ file: PLAN, within: 'proveRefused', find: conditionOf(literal('read_back')), put: 'true' }],
    caught: { in: 'calm', as: 'destroyed_unproven' },
  },
  {
    name: 'one-name-is-enough',
    edits: [
      {
        file: 'src/core/proving.ts',
        within: 'refusedUnder',
        find: conditionOf(identifier('names')),
        put: 'true',
      },
    ],
    caught: { in: 'calm', as: 'destroyed_unproven' },
  },
  {
    name: 'no-rollback',
    edits: [
      {
        file: 'src/core/ending.ts',
        within: 'turnBack',
        find: statementOf(call('reverting')),
        put: `return end(
          { ...record, server: { ...record.server, confirmedAt: null } },
          rotation,
          'rolled_back',
          why,
          { now: rotation.startedAt } as Time,
        );`,
      },
    ],
    caught: { in: 'calm', as: 'forgotten_key' },
  },
  {
    name: 'no-wait-for-late-patch',
    edits: [{ file: PLAN, within: 'publishing', find: conditionOf(identifier('same')), put: 'false' }],
    caught: { in: 'late', as: 'overtaken' },
  },
  {
    name: 'publish-before-delivery',
    edits: [
      {
        file: 'src/core/delivering.ts',
        within: 'generated',
        find: propertyOf('name'),
        put: `'delivered'`,
      },
      {
        file: PLAN,
        within: 'delivering',
        find: statementOf(call('desiredDelivery')),
        put: (text) => `if (record.rotation?.phase.name === 'delivered') return null;\n  ${text}`,
      },
    ],
    caught: { in: 'died-after-cutover', as: 'login_refused' },
  },
  {
    name: 'resend-other-bytes',
    edits: [
      {
        file: 'src/rotation/api-calls.ts',
        within: 'patch',
        find: call('deployment.wacht.patchClient'),
        put: `deployment.wacht.patchClient(
          ref,
          body.jwks === undefined ? body : { ...body, jwks: { keys: [...body.jwks.keys].reverse() } },
          signal,
        )`,
      },
    ],
    caught: { in: 'calm', as: 'other_bytes' },
  },
  {
    name: 'retire-before-proof',
    edits: [
      {
        file: DESIRED,
        within: 'publishedKeys.kept',
        find: conditionOf(literal('cutover')),
        put: 'incoming !== undefined',
      },
    ],
    caught: { in: 'calm', as: 'withdrawn' },
  },
  {
    name: 'second-key-on-retry',
    edits: [
      {
        file: LOOP,
        within: 'rotate',
        find: statementOf(call('tools.store.claim')),
        put: `const held = await tools.store.claim(ref, leastEpoch);
      const stored = held?.record.rotation?.phase.name === 'stored' ? held.record.rotation : null;
      const again = stored === null ? null : { ...stored, phase: { name: 'requested' as const } };
      const claimed = held === null || again === null ? held : { ...held, record: { ...held.record, rotation: again } };`,
      },
    ],
    caught: { in: 'died-before-delivery', as: 'second_key' },
  },
  {
    name: 'store-after-publish',
    edits: [
      {
        file: COPY,
        within: 'workingCopy',
        find: declarationOf('held'),
        put: (text) => `let unstored: NonNullable<Change['seal']> = [];\n  ${text}`,
      },
      {
        file: COPY,
        within: 'workingCopy.save',
        find: declarationOf('change'),
        put: `unstored = [...unstored, ...(draft.seal ?? [])];
    const change: Change = { ...draft, seal: name === 'patch' ? unstored : [] };`,
      },
    ],
    caught: { in: 'calm', as: 'lost_key' },
  },
];
