/** Help for a command that does not exist is wrong usage. Commander would show the help of its parent, and end with 0: a script takes that for success. */
import type { Command } from 'commander';
import { didYouMean } from '../config/problems.ts';

/** @throws CommanderError as for any other wrong usage, when help is asked for a command that is not there */
export function helpOnlyForCommands(program: Command): void {
  program.addHelpText('beforeAll', ({ command }) => {
    const [first, ...others] = command.args.filter((arg) => !arg.startsWith('-'));
    const named = first === 'help' ? others[0] : first;
    const known = command.commands.map((one) => one.name());
    if (named === undefined || known.length === 0 || known.includes(named)) return '';
    return command.error(`error: unknown command '${named}'${didYouMean(named, known)}`);
  });
}
