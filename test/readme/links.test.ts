/** Links in documents: every file and section that one names is there, and the index of docs/ names every page. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** Installed, built, or left by somebody who tried the quick start. */
const NOT_OURS = /^(?:data|keys|secrets)$|(?:^|\/)(?:node_modules|dist|\.git)$/;

function filesIn(folder: string, ends: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return NOT_OURS.test(path) ? [] : filesIn(path, ends);
    return entry.isFile() && ends.test(entry.name) ? [path] : [];
  });
}

const withoutCode = (text: string) => text.replaceAll(/^ *```.*?^ *```$/gms, '').replaceAll(/`[^`\n]*`/g, 'code');

/** As GitHub names sections: small letters, no punctuation, a hyphen for each space, and a number at a name that was there before. */
function sectionsOf(text: string): ReadonlySet<string> {
  const names = new Set<string>();
  const headings = text.replaceAll(/^ *```.*?^ *```$/gms, '').matchAll(/^#{1,6} +(.+?) *$/gm);
  for (const [, heading = ''] of headings) {
    const shown = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const name = shown.replaceAll(/[^\p{L}\p{N}\p{M}\p{Pc}\- ]/gu, '').replaceAll(' ', '-');
    let unique = name;
    for (let count = 1; names.has(unique); count += 1) unique = `${name}-${count}`;
    names.add(unique);
  }
  return names;
}

interface Link {
  /** As the document has it. */
  readonly target: string;
  /** Empty: the document itself. */
  readonly path: string;
  readonly section: string;
}

/** Those that lead to a place in this repository. */
function linksIn(text: string): readonly Link[] {
  const found = withoutCode(text).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)|^\[[^\]]+\]: +(\S+)/gm);
  return [...found].flatMap(([, inline, reference]) => {
    const target = inline ?? reference ?? '';
    if (/^(?:[a-z]+:|\/\/)/i.test(target)) return [];
    const [path = '', section = ''] = target.split('#');
    return [{ target, path: decodeURIComponent(path), section }];
  });
}

/** @param read the text of a file, or null where there is none; a folder has the empty text */
function brokenIn(document: string, text: string, read: (path: string) => string | null): string[] {
  return linksIn(text).flatMap(({ target, path, section }) => {
    const linked = path === '' ? text : read(join(dirname(document), path));
    if (linked === null) return [`${document}: ${target}: there is no such file`];
    if (section !== '' && !sectionsOf(linked).has(section)) return [`${document}: ${target}: there is no such section`];
    return [];
  });
}

function read(path: string): string | null {
  const file = join(ROOT, path);
  if (!existsSync(file)) return null;
  return statSync(file).isDirectory() ? '' : readFileSync(file, 'utf8');
}

test('every relative link leads to a file, and to a section that it has', () => {
  const documents = filesIn('.', /\.md$/);
  expect(documents.length).toBeGreaterThan(60);
  const broken = documents.flatMap((path) => brokenIn(path, readFileSync(join(ROOT, path), 'utf8'), read));
  expect(broken).toEqual([]);
});

test.each([
  ['[a](b.md)', ['page.md: b.md: there is no such file']],
  ['[a](other.md#no)', ['page.md: other.md#no: there is no such section']],
  ['[a](#no)\n\n## Yes', ['page.md: #no: there is no such section']],
  ['![a](no.png)', ['page.md: no.png: there is no such file']],
  ['[a]: b.md', ['page.md: b.md: there is no such file']],
  [
    '[a](#yes-and-no) [b](other.md#what-else) [c](other.md#what-else-1) [d](https://b.md) `[e](f)`\n\n## Yes, and no',
    [],
  ],
])('of %j the checker says what is broken', (text, broken) => {
  const others = new Map([['other.md', '## `What` else?\n\n## What else\n\n```sh\n# no\n```\n']]);
  expect(brokenIn('page.md', text, (path) => others.get(path) ?? null)).toEqual(broken);
});

/** Files and folders of this repository that are named in code. */
function namedIn(text: string): readonly string[] {
  return [...text.matchAll(/`((?:clients|compose|deploy|jobs|src|test)\/[\w./-]*)`/g)].map(([, path = '']) => path);
}

test('every file and folder that a document names is there', () => {
  // A decision and a changelog tell of what was there.
  const documents = filesIn('.', /\.md$/).filter((path) => !/CHANGELOG|^docs\/decisions\//.test(path));
  const named = documents.flatMap((path) => namedIn(read(path) ?? '').map((name) => ({ path, name })));
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ name }) => read(name) === null)).toEqual([]);
  expect(namedIn('`test/no/` and `src/core/no.ts`, not `npm run demo`')).toEqual(['test/no/', 'src/core/no.ts']);
});

test('messages, comments and settings name pages that exist', () => {
  const files = ['src', 'jobs', 'deploy', 'compose', '.github', 'test'].flatMap((folder) =>
    filesIn(folder, /\.(?:ts|ya?ml|service)$/),
  );
  const named = [...files, 'rekeyd.example.yaml', 'docker-compose.yml'].flatMap((path) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(/\bdocs\/[\w./-]+\.(?:md|json|png)\b/g)].map(([page]) => ({
      path,
      page,
    })),
  );
  expect(named.length).toBeGreaterThan(40);
  expect(named.filter(({ page }) => read(page) === null)).toEqual([]);
});

test('docs/README.md names every page', () => {
  const index = new Set(linksIn(read('docs/README.md') ?? '').map(({ path }) => path));
  const pages = filesIn('docs', /\.(?:md|json)$/).map((path) => relative('docs', path));
  const missing = pages.filter((page) => page !== 'README.md' && !page.startsWith('decisions/') && !index.has(page));
  expect(missing).toEqual([]);
});

test('README.md has at most 150 lines', () => {
  expect((read('README.md') ?? '').trimEnd().split('\n').length).toBeLessThanOrEqual(150);
});
