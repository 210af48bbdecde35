/** The documents against the program: generated pages are current, and every command in them can be typed. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { openMetrics } from '../../src/metrics/metrics.ts';
import { commandsPage } from './commands.ts';
import { configurationPage } from './configuration.ts';
import { EXAMPLES } from './examples.ts';
import { pages, program } from './pages.ts';
import { wrongWith } from './parse.ts';
import { PARTS } from './parts.ts';
import { documents, typedIn, typedInDocuments } from './typed.ts';

const ROOT = join(import.meta.dirname, '../..');

const read = (path: string) => readFile(join(ROOT, path), 'utf8');

test.each(Object.entries(pages()))('docs/%s is current: `npm run docs` writes it', async (name, text) => {
  expect(await read(`docs/${name}`)).toBe(text);
});

test('a page is refused for a command without an example, and for a part of the config without one', () => {
  const more = program();
  more
    .command('shred')
    .description('destroy all keys')
    .action(() => {});
  expect(() => commandsPage(more)).toThrow('no example of `rekeyd shred`');
  const schema = { properties: { backups: { properties: { to: { type: 'string' } } } } };
  expect(() => configurationPage(schema)).toThrow('says nothing about backups');
});

test('a setting that is new gets a row, with its type, default and text', () => {
  const keep = { type: 'string', enum: ['all', 'none'], default: 'all', description: 'all: keep every one|more' };
  const page = configurationPage({ properties: { leaks: { properties: { keep, to: {} }, required: ['to'] } } });
  expect(page).toMatch(/^\| `keep` +\| `all`, `none` +\| `all` +\| `all`: keep every one\\\|more\. +\|$/m);
  expect(page).toMatch(/^\| `to` +\| text +\| _required_ +\|/m);
});

test('the examples are of commands and parts that are there', () => {
  const page = pages()['cli.md'] ?? '';
  for (const name of Object.keys(EXAMPLES)) expect(page).toMatch(new RegExp(`^#+ ${name}$`, 'm'));
  for (const [name, { example }] of Object.entries(PARTS)) expect(Object.keys(parse(example))).toContain(name);
});

test('every `rekeyd …` in the documents is a command that the command line takes', () => {
  const typed = typedInDocuments();
  const wrong = typed.flatMap(({ file, line, words, isWhole }) => {
    const why = wrongWith(words, isWhole);
    return why === null ? [] : [`${file}:${line}: rekeyd ${words.join(' ')}: ${why}`];
  });
  expect(wrong).toEqual([]);
  // Of both kinds there are many: where they are looked for is where they are.
  expect(typed.filter(({ isWhole }) => isWhole).length).toBeGreaterThan(100);
  expect(typed.filter(({ isWhole }) => !isWhole).length).toBeGreaterThan(100);
});

test('every container that the documents type a command in is one of docker-compose.yml', async () => {
  const { services } = parse(await read('docker-compose.yml'), { merge: true });
  const others = await Promise.all(['docker-compose.yml', 'compose/rekeyd.yaml'].map(read));
  const named = [...documents().map(({ text }) => text), ...others].flatMap((text) =>
    [...text.matchAll(/docker compose exec(?: -T)? (\S+)/g)].map(([, name]) => name),
  );
  expect(named.length).toBeGreaterThan(2);
  for (const name of named) expect(Object.keys(services)).toContain(name);
});

test('docs/operations.md has a row for every metric, and for no other', async () => {
  const metrics = openMetrics(() => true);
  const help = await metrics.text();
  const told = [...help.matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name);
  const [, section = ''] = (await read('docs/operations.md')).split(/^## Metrics$/m);
  const rows = [...section.matchAll(/^\| (`rekeyd_.*?) +\|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(rekeyd_\w+)/g)].map(([, name]) => name),
  );
  expect(told.length).toBeGreaterThan(20);
  expect(rows.toSorted()).toEqual(told.toSorted());
});

/** What docs/releasing.md says of the version, but for what other tests compare: the package of the signer, the chart and openapi.json. */
test('the package for Python and the images of the Compose file have the version of rekeyd', async () => {
  const { version } = JSON.parse(await read('package.json'));
  const [, python] = /^version = "(.*)"$/m.exec(await read('clients/python/pyproject.toml')) ?? [];
  const images = (await read('docker-compose.yml')).matchAll(/image: rekeyd(?:-demo)?:(\S+)/g);
  expect([python, ...[...images].map(([, tag]) => tag)]).toEqual([version, version, version]);
});

test('docs/dependencies.md has a row for every package, and for no other', async () => {
  const { dependencies, devDependencies, peerDependencies } = JSON.parse(await read('package.json'));
  const [, production = '', development = ''] = (await read('docs/dependencies.md')).split(/^## .*$/m);
  const named = (section: string) =>
    [...section.matchAll(/^\| ([@a-z].*?) +\|/gm)].flatMap(([, cell = '']) => cell.split(', ')).toSorted();
  expect(named(production)).toEqual(Object.keys({ ...dependencies, ...peerDependencies }).toSorted());
  const tried = Object.keys(devDependencies).filter((name) => !(name in peerDependencies));
  expect(named(development)).toEqual(tried.toSorted());
});

test.each<[string, string]>([
  ['a command that is gone', 'rekeyd undo 1/a/2'],
  ['an option that is gone', 'rekeyd rotate 1/a/2 --force # at once'],
  ['a command without its argument', 'docker compose exec rekeyd-1 rekeyd enroll'],
  ['a command without a required option', 'X=1 rekeyd pause --all --for 4h'],
  ['one behind a pipe', 'cat key.pem | rekeyd identify --really -'],
  ['one over two lines', 'rekeyd rotate \\\n  --reason "a b" --nope'],
])('%s is found', (_, line) => {
  const [typed] = typedIn('x.md', `# X\n\n\`\`\`sh\n${line}\n\`\`\`\n`);
  expect(typed).toMatchObject({ file: 'x.md', isWhole: true });
  expect(wrongWith(typed?.words ?? [], true)).toMatch(/^error: (unknown|missing|required)/);
});

test('within a sentence arguments may be left out, and nothing else may be wrong', () => {
  const typed = typedIn(
    'x.md',
    'Type `rekeyd pause`, `rekeyd keys`, `rekeyd status --al` or `rekeyd rotate "a b" --reason \'c d\'`.',
  );
  expect(typed.map(({ words, isWhole }) => wrongWith(words, isWhole)?.split('\n')[0])).toEqual([
    undefined,
    undefined,
    "error: unknown option '--al'",
    undefined,
  ]);
  expect(typed.at(-1)?.words).toEqual(['rotate', 'a b', '--reason', 'c d']);
});
