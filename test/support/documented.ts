/** What the documents tell people to type, for tests that type it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCS = join(import.meta.dirname, '../../docs');

/** The rules of the Redis user of that name, one for each word. */
export function documentedAcl(file: string, user: string): string[] {
  const rule = new RegExp(`^ACL SETUSER ${user} on '>PASSWORD' ((?:.*\\\\\\n)*.*)$`, 'm');
  const [, rules] = rule.exec(readFileSync(join(DOCS, file), 'utf8')) ?? [];
  if (rules === undefined) throw new Error(`${file} has no Redis user ${user}`);
  return rules.replaceAll('\\\n', ' ').replaceAll("'", '').split(/\s+/);
}

/** The first block in that language. */
export function documentedCode(file: string, language: string): string {
  const [, code] =
    new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(readFileSync(join(DOCS, file), 'utf8')) ?? [];
  if (code === undefined) throw new Error(`${file} has no code in ${language}`);
  return code;
}
