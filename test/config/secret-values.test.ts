/** What the values behind references may look like, and files that are not what they seem. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig, parseConfig } from '../../src/config/load.ts';
import { API_KEY, env, folder, inDeployment, KEK, refusal, useFolder, write } from './write.ts';

useFolder();

const at = () => join(folder, 'rekeyd.yaml');
const withKek = (value: string) => parseConfig(write(), { file: at(), env: { ...env, KEK: value } });
const whyNot = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing is wrong',
    (error: Error) => error.message,
  );

test.each(['\n', '\r\n'])('a variable loses the line end %j that a command left there, as a file does', async (end) => {
  const variables = { ...env, API_KEY: `${API_KEY}${end}`, KEK: `${KEK}${end}` };
  const config = await parseConfig(write(), { file: at(), env: variables });
  expect(config.deployments[0]?.apiKey.reveal()).toBe(API_KEY);
});

test('a variable that holds nothing but a line end is empty', async () => {
  expect(await whyNot(withKek('\n'))).toContain('the environment variable KEK is empty');
});

test.each([
  ['too short', KEK.slice(1), 'put back the value that this KEK was made with'],
  ['of another kind', 'not a key', 'put back the value that this KEK was made with'],
  [
    'base64',
    Buffer.alloc(32, 0xfb).toString('base64'),
    'write "-" for "+" and "_" for "/" there, and leave out the "="',
  ],
])('a KEK that is %s is told without advice to make a new one', async (_, value, way) => {
  const told = await whyNot(withKek(value));
  expect(told).toContain(way);
  expect(told).not.toMatch(/make|openssl/);
  expect(told).not.toContain(value);
});

test.each<[string, Buffer, string]>([
  ['UTF-16 with a mark', Buffer.from(`\ufeff${API_KEY}`, 'utf16le'), 'is UTF-16 text: save it as UTF-8'],
  ['UTF-16 without one', Buffer.from(API_KEY, 'utf16le'), 'is UTF-16 text: save it as UTF-8'],
  ['Latin-1', Buffer.from('pässword', 'latin1'), 'is not UTF-8 text: save it as UTF-8'],
])('a secret in a file that is %s is told as what it is', async (_, bytes, what) => {
  await writeFile(join(folder, 'odd'), bytes);
  const [problem] = (await refusal(inDeployment({ api_key: 'file:./odd' }))).problems;
  expect(problem?.message.endsWith(`odd ${what}`), problem?.message).toBe(true);
});

test('a secret in a file may have a byte order mark before it', async () => {
  await writeFile(join(folder, 'marked'), `\ufeff${API_KEY}\n`);
  const config = await parseConfig(inDeployment({ api_key: 'file:./marked' }), { file: at(), env });
  expect(config.deployments[0]?.apiKey.reveal()).toBe(API_KEY);
});

test('a config file in UTF-16 is told as what it is', async () => {
  const file = join(folder, 'utf16.yaml');
  await writeFile(file, Buffer.from(`\ufeff${write()}`, 'utf16le'));
  const told = await whyNot(loadConfig(file, env));
  expect(told).toMatch(/utf16\.yaml is UTF-16 text: save it as UTF-8$/);
});
