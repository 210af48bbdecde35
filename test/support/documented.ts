/** What the documents tell people to type, for tests that type it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCS = join(import.meta.dirname, '../../docs');

/** The rules of the Redis user of that name, one for each word. */
export function documentedAcl(file: string, user: string): string[] {
  const command = new RegExp(`^redis-cli ACL SETUSER ${user} on '>PASSWORD' ((?:.*\\\\\\n)*.*)$`, 'm');
  const [, rules] = command.exec(readFileSync(join(DOCS, file), 'utf8')) ?? [];
  if (rules === undefined) throw new Error(`${file} has no Redis user ${user}`);
  // A shell reads it, as it does for the operator: a | without quotes would be a pipe.
  const words = execFileSync('sh', ['-euc', `printf '%s\\n' ${rules}`], { encoding: 'utf8' });
  return words.trimEnd().split('\n');
}

/** The first block in that language. */
export function documentedCode(file: string, language: string): string {
  const [, code] =
    new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(readFileSync(join(DOCS, file), 'utf8')) ?? [];
  if (code === undefined) throw new Error(`${file} has no code in ${language}`);
  return code;
}
