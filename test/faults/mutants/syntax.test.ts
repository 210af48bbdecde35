import { describe, expect, test } from 'vitest';
import {
  applyEdits,
  call,
  conditionOf,
  declarationOf,
  type Edit,
  identifier,
  literal,
  luaIf,
  member,
  objectWith,
  propertyOf,
  type Shape,
  statementOf,
} from './syntax.ts';

const SOURCE = `
/** Ähm. */
export async function outer(a: number): Promise<number> {
  const steps = { first: async () => save('one', true), second: [a, 2] } satisfies object;
  if (a > 1 && isReady(steps)) {
    await save(
      'two',
      false,
    );
  }
  for (const step of [1]) keep.clear(step);
  return a === 3 ? steps.first() : { do: 'wait', until: a };
}

const inner = { async outer2() {
  const four = 4;
  await save('three', true);
} };

export const SCRIPT = \`\${wanted}
if a ~= args[1] then return 1 end
local b = 2
if b then
  return 2
end
if b ~= args[2] then return 3 end
\`;
`;

const edit = (within: string, find: Shape, put: Edit['put'] = 'X()'): Edit => ({ file: 'f.ts', within, find, put });
const applied = (...edits: readonly Edit[]) => applyEdits(edits, () => SOURCE).get('f.ts') ?? '';

test.each<[what: string, within: string, find: Shape, found: string]>([
  ['a call of a property', 'first', call('save'), `save('one', true)`],
  ['a call over several lines', 'outer2', call('save'), `save('three', true)`],
  ['a call of a method', 'outer', call('keep.clear'), 'keep.clear(step)'],
  ['a call by the names around it', 'inner.outer2', call('save'), `save('three', true)`],
  ['the statement of a call', 'outer', statementOf(call('keep.clear')), 'keep.clear(step);'],
  ['the condition of an if', 'outer', conditionOf(call('isReady')), 'a > 1 && isReady(steps)'],
  ['the condition of a choice', 'outer', conditionOf(literal(3)), 'a === 3'],
  ['a value', 'outer', propertyOf('second'), '[a, 2]'],
  ['an object', 'outer', objectWith({ do: 'wait' }), `{ do: 'wait', until: a }`],
  ['a property of something', 'outer', member('steps.first'), 'steps.first'],
  ['a declaration', 'outer2', declarationOf('four'), 'const four = 4;'],
  ['a name', 'SCRIPT', identifier('wanted'), 'wanted'],
  ['a line of a script', 'SCRIPT', luaIf('~= args[2]'), 'if b ~= args[2] then return 3 end'],
])('%s is found', (_, within, find, found) => {
  expect(SOURCE.split(found)).toHaveLength(2);
  expect(applied(edit(within, find))).toBe(SOURCE.replace(found, 'X()'));
});

test('what was found can be changed, in several places', () => {
  const text = applied(
    edit('outer2', call('save'), (found) => found.replace('true', 'false')),
    edit('first', call('save'), '0'),
  );
  expect(text).toBe(SOURCE.replace(`save('three', true)`, `save('three', false)`).replace(`save('one', true)`, '0'));
});

describe('refused is', () => {
  test.each<[string, Edit[], string]>([
    ['a place that is not there', [edit('outer', call('load'))], '0 places'],
    ['a place that is there twice', [edit('outer', call('save'))], '2 places'],
    ['a function that is not there', [edit('nowhere', call('save'))], '0 of the name nowhere'],
    ['a line of a script that is not there', [edit('SCRIPT', luaIf('args[3]'))], '0 places'],
    ['the same place twice', [edit('first', call('save')), edit('first', call('save'))], 'the same place'],
    ['what is no TypeScript any more', [edit('outer2', call('save'), '(')], 'f.ts:'],
  ])('%s', (_, edits, message) => {
    expect(() => applied(...edits)).toThrow(message);
  });
});
