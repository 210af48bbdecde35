/** The pages of docs/ that are generated, by file name. */
import type { Command } from 'commander';
import { commandLine } from '../../src/commands/line.ts';
import { configSchema } from '../../src/config/load.ts';
import { commandsPage } from './commands.ts';
import { configurationPage, type Schema } from './configuration.ts';

/** The real command line. It is never run: its commands have nothing to open. */
export function program(): Command {
  return commandLine(
    () => {
      throw new Error('no command is run here');
    },
    () => {},
  );
}

export function pages(): Readonly<Record<string, string>> {
  return {
    // Of JSON Schema, `Schema` has what the config uses.
    'configuration.md': configurationPage(configSchema() as Schema),
    'cli.md': commandsPage(program()),
  };
}
