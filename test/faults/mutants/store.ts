/** What the store keeps, for whom, and whether it is asked at all. */
import type { Mutant } from './mutant.ts';
import { call, conditionOf, declarationOf, literal, luaIf, member, statementOf } from './syntax.ts';

const LOOP = 'src/rotation/loop.ts';
const COPY = 'src/rotation/working-copy.ts';
const COMMIT = { file: 'src/store/lua/records.ts', within: 'COMMIT' } as const;
const PRELUDE = { file: 'src/store/lua/prelude.ts', within: 'PRELUDE' } as const;

export const store: readonly Mutant[] = [
  {
    name: 'no-barrier',
    edits: [{ file: LOOP, within: 'announce', find: call('copy.save'), put: (text) => text.replace('true', 'false') }],
    caught: { in: 'power-cut', as: 'not_durable' },
  },
  {
    name: 'no-waitaof',
    edits: [
      {
        file: 'src/store/redis/durability.ts',
        within: 'confirmationOf',
        find: conditionOf(literal('waitaof')),
        put: 'false',
      },
    ],
    caught: { in: 'power-cut', as: 'not_durable' },
  },
  {
    name: 'no-intent',
    edits: [
      {
        file: COPY,
        within: 'workingCopy.save',
        find: declarationOf('change'),
        put: (text) => `if (durable) {
        held = { ...held, record: draft.record };
        return;
      }
      ${text}`,
      },
    ],
    caught: { in: 'calm', as: 'unannounced' },
  },
  {
    name: 'no-fence',
    edits: [
      { ...COMMIT, find: luaIf('~= args[3]'), put: '' },
      { ...COMMIT, find: luaIf('~= args[2]'), put: '' },
    ],
    caught: { in: 'outrun', as: 'fence' },
  },
  {
    name: 'fence-by-claim-alone',
    edits: [{ ...COMMIT, find: luaIf('~= args[2]'), put: '' }],
    caught: { in: 'interrupted', as: 'fence' },
  },
  {
    name: 'audit-outside-commit',
    edits: [
      {
        file: 'src/store/records.ts',
        within: 'openRecords.commit',
        find: statementOf(call('commitCall')),
        put: `const call = commitCall(keys, { ...change, entries: [] }, op);
      if (change.entries.length > 0) {
        const { APPEND } = await import('./lua/log.ts');
        const args = change.entries.map((entry) => JSON.stringify(entry));
        await scripts.run({ lua: APPEND, keys: [keys.audit, keys.operation(randomUUID())], args });
      }`,
      },
    ],
    caught: { in: 'calm', as: 'loose_entry' },
  },
  {
    name: 'take-any-store',
    edits: [
      { ...PRELUDE, find: luaIf('~= ARGV[1]'), put: '' },
      // What is empty is also behind.
      { ...PRELUDE, find: luaIf('< tonumber(ARGV[2])'), put: '' },
    ],
    caught: { in: 'emptied', as: 'wrote_while_lost' },
  },
  {
    name: 'take-an-older-store',
    edits: [
      { ...PRELUDE, find: luaIf('< tonumber(ARGV[2])'), put: '' },
      {
        file: 'src/store/identity.ts',
        within: 'whyLost',
        find: conditionOf(member('facts.size')),
        put: 'facts.id !== null',
      },
    ],
    caught: { in: 'rolled-back', as: 'wrote_while_lost' },
  },
];
