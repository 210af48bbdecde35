import { describe, expect, test } from 'vitest';
import { JsonFault } from './fault.ts';
import { anything, boolean, defaulted, i32, i64, list, object, oneOf, optional, readJson, string } from './reader.ts';

const thing = object('Thing', {
  name: string,
  tags: defaulted(list(string), []),
  kind: optional(oneOf(['big', 'small'])),
  size: optional(i64),
  small: optional(i32),
  on: optional(boolean),
  any: optional(anything),
  inner: optional(object('Inner', { a: string })),
});

const NOTHING = { tags: [], kind: null, size: null, small: null, on: null, any: null, inner: null };
const read = (text: string | Uint8Array, rest?: 'ignored') => readJson(thing, Buffer.from(text), rest);

describe('reads', () => {
  test.each([
    [
      'what it knows, in its own order',
      '{"on":true,"name":"x","size":-5}',
      { ...NOTHING, name: 'x', on: true, size: -5 },
    ],
    ['escapes', '{"name":"\\u00e9\\n\\ud83d\\udd11"}', { ...NOTHING, name: 'é\n🔑' }],
    ['white space', ' {\n\t"name" :\r"x" , "tags":[ ] } ', { ...NOTHING, name: 'x' }],
    ['past what it does not know', '{"x":[1,{"y":[[],{}]}],"name":"x","z":"\\ud800"}', { ...NOTHING, name: 'x' }],
    [
      'past any depth of it',
      `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)},"name":"x"}`,
      { ...NOTHING, name: 'x' },
    ],
    ['anything', '{"name":"x","any":{"a":[1,null]}}', { ...NOTHING, name: 'x', any: { a: [1, null] } }],
    [
      'a list of all members',
      '["x",["t"],"big",1,2,false,3,["b"]]',
      { name: 'x', tags: ['t'], kind: 'big', size: 1, small: 2, on: false, any: 3, inner: { a: 'b' } },
    ],
  ])('%s', (_what, text, value) => {
    expect(read(text)).toEqual(value);
    expect(Object.keys(read(text))).toEqual(Object.keys({ name: '', ...NOTHING }));
  });

  test('only what comes first, when nobody looks at the rest', () => {
    expect(read('{"name":"x"} and so on', 'ignored')).toEqual({ ...NOTHING, name: 'x' });
  });
});

/** As serde_json 1.0.140 words them. */
describe('says what is wrong', () => {
  test.each([
    ['', 'EOF while parsing a value at line 1 column 0'],
    ['a', 'expected value at line 1 column 1'],
    ['{', 'EOF while parsing an object at line 1 column 1'],
    ['{"name"', 'EOF while parsing an object at line 1 column 7'],
    ['{"name" "x"}', 'expected `:` at line 1 column 9'],
    ['{"name":"x"', 'EOF while parsing an object at line 1 column 11'],
    ['{"name":"x",}', 'trailing comma at line 1 column 13'],
    ['{"name":"x" "tags"', 'expected `,` or `}` at line 1 column 13'],
    ['{name', 'key must be a string at line 1 column 2'],
    ['{"name":"x"} y', 'trailing characters at line 1 column 14'],
    ['{"name":"x', 'EOF while parsing a string at line 1 column 10'],
    ['{"name":"\\x"}', 'invalid escape at line 1 column 11'],
    ['{"name":"\\ud800"}', 'unexpected end of hex escape at line 1 column 16'],
    ['{"tags":["a",]}', 'trailing comma at line 1 column 14'],
    ['{"tags":["a" "b"]}', 'expected `,` or `]` at line 1 column 14'],
    ['{"kind":5}', 'expected value at line 1 column 9'],
    ['{"on":tru}', 'expected ident at line 1 column 10'],
    ['\ufeff{}', 'expected value at line 1 column 1'],
  ])('no JSON: %j', (text, message) => {
    expect(faultOf(text)).toEqual({ kind: 'syntax', message });
  });

  test('no text: bytes that are no UTF-8', () => {
    const text = Buffer.from([...Buffer.from('{"name":"'), 0xff, ...Buffer.from('"}')]);
    expect(faultOf(text)).toEqual({ kind: 'syntax', message: 'invalid unicode code point at line 1 column 11' });
  });

  test.each([
    ['{}', 'missing field `name` at line 1 column 2'],
    ['{"name":null}', 'invalid type: null, expected a string at line 1 column 12'],
    ['{"name":5}', 'invalid type: integer `5`, expected a string at line 1 column 9'],
    ['{"name":[]}', 'invalid type: sequence, expected a string at line 1 column 8'],
    ['{"name":"a","name":"b"}', 'duplicate field `name` at line 1 column 18'],
    ['{"kind":"odd"}', 'unknown variant `odd`, expected one of `big`, `small` at line 1 column 13'],
    ['{"size":1.5}', 'invalid type: floating point `1.5`, expected i64 at line 1 column 11'],
    ['{"size":60.0}', 'invalid type: floating point `60.0`, expected i64 at line 1 column 12'],
    ['{"size":1e300}', 'invalid type: floating point `1e300`, expected i64 at line 1 column 13'],
    ['{"size":"5"}', 'invalid type: string "5", expected i64 at line 1 column 11'],
    ['{"size":9223372036854775808}', 'invalid value: integer `9223372036854775808`, expected i64 at line 1 column 27'],
    ['{"small":2147483648}', 'invalid value: integer `2147483648`, expected i32 at line 1 column 19'],
    ['{"on":\n"yes"}', 'invalid type: string "yes", expected a boolean at line 2 column 5'],
    ['"x"', 'invalid type: string "x", expected struct Thing at line 1 column 3'],
    ['["x"]', 'invalid length 1, expected struct Thing with 8 elements at line 1 column 5'],
  ])('JSON that does not fit: %j', (text, message) => {
    expect(faultOf(text)).toEqual({ kind: 'data', message });
  });
});

function faultOf(text: string | Uint8Array) {
  try {
    read(text);
  } catch (error) {
    if (error instanceof JsonFault) return { kind: error.kind, message: error.message };
    throw error;
  }
  return null;
}
