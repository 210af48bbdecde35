/** Parses what is typed with the real command line, and runs nothing. */
import { type Command, CommanderError } from 'commander';
import { program } from './pages.ts';

/** What a sentence may leave out. */
const LEFT_OUT = new Set([
  'commander.missingArgument',
  'commander.optionMissingArgument',
  'commander.missingMandatoryOptionValue',
  'commander.help',
]);

/** Of a value such as TIME, which a person replaces. */
const PLACEHOLDER = /argument '[A-Z]+' is invalid/;

/** @returns what is wrong with it; null: nothing */
export function wrongWith(words: readonly string[], isWhole: boolean): string | null {
  const line = program();
  disarm(line);
  try {
    line.parse(words, { from: 'user' });
    return null;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || PLACEHOLDER.test(error.message) || (!isWhole && LEFT_OUT.has(error.code))) return null;
    return error.message;
  }
}

function disarm(command: Command): void {
  command.configureOutput({ writeOut: () => {}, writeErr: () => {} }).exitOverride();
  if (command.parent !== null && (command.commands.length === 0 || command.options.length > 0))
    command.action(() => {});
  for (const child of command.commands) disarm(child);
}
