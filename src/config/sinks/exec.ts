/** `kind: exec`: a program that is given the keys. */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { duration, list, section, text } from '../fields.ts';
import { account } from './directory.ts';
import type { ExecSinkConfig } from './model.ts';

/** Where the program finds others; nothing else of rekeyd's environment is handed on. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const NOT_A_NAME = 'is not the name of an environment variable: write letters, digits and "_", such as VAULT_ADDR';

export function execSink() {
  const argument = text(
    { description: 'First the absolute path of the program, then an argument each.' },
    'text',
    (value, refuse) => (value.includes('\0') ? refuse('is not an argument: write text') : value),
  );
  const variable = text({ description: 'No secrets: other users may see them.' }, 'text', (value) => value);
  return section({
    kind: z.literal('exec').describe('A program that gets the keys on its standard input.'),
    command: list(argument, 'argument').describe('The program that is run, without a shell.'),
    user: account('User that it runs as: name or id. Needs rekeyd to run as root.', 'passwd').optional(),
    group: account('Group that it runs as: name or id. Needs rekeyd to run as root.', 'group').optional(),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, NOT_A_NAME), variable, {
        error: 'is not a section: write NAME: value below it',
      })
      .describe('Its environment variables, beside PATH. It gets none of rekeyd’s own.')
      .prefault({}),
    timeout: duration('How long the program may run. Then it is killed, and the delivery has failed.', {
      most: '10m',
    }).prefault('30s'),
  }).transform((given, context): ExecSinkConfig => {
    const { kind, command, user = null, group = null, env, timeout } = given;
    const [program = '', ...args] = command;
    if (!isAbsolute(program)) {
      const message = 'is not an absolute path: write the program as /usr/local/bin/…, it is run without a shell';
      context.addIssue({ code: 'custom', path: ['command', 0], message });
    }
    if (user !== null && user !== 0 && group === null) {
      const message = 'is missing beside user: the program would run in the group of rekeyd';
      context.addIssue({ code: 'custom', path: ['group'], message });
    }
    return { kind, program, args, user, group, env: { PATH, ...env }, timeoutMs: timeout };
  });
}
