/** docs/cli.md: each command with its options and an example, made from the definitions that commander works with. */
import type { Argument, Command, Option } from 'commander';
import { EXAMPLES } from './examples.ts';
import { capital, code, fenced, GENERATED, plain, sentence, table } from './markdown.ts';

const INTRODUCTION = `\`rekeyd --help\` and, of a command, \`rekeyd rotate --help\` print the same in a terminal.

A client is written \`deployment/app-slug/oauth_client_id\`, as \`rekeyd status\` prints it. An app is written \`deployment/app-slug\`.`;

const JSON_NOTE =
  'With `--json`, a command prints one JSON document on stdout. Everything else goes to stderr. Text for people may change with any version; scripts read the JSON.';

export function commandsPage(program: Command): string {
  const help = afterHelp(program);
  return `${[
    GENERATED,
    '# Command line reference',
    INTRODUCTION,
    JSON_NOTE,
    '## Commands',
    overview(program),
    '## Options of every command',
    options(program),
    '## Environment',
    table(['Variable', 'What it is'], rows(help, 'Environment')),
    'The config may name more variables as `env:NAME`.',
    '## Exit codes',
    table(['Code', 'Meaning'], rows(help, 'Exit codes')),
    ...visible(program).flatMap((command) => section(command, 2)),
  ].join('\n\n')}\n`;
}

/** Every command that does something, with a link to its section. */
function overview(program: Command): string {
  const all = (command: Command): readonly Command[] => visible(command).flatMap((child) => [child, ...all(child)]);
  const linked = (command: Command) => `[${code(nameOf(command))}](#${nameOf(command).replaceAll(' ', '-')})`;
  return table(
    ['Command', 'What it does'],
    all(program)
      .filter(runs)
      .map((command) => [linked(command), says(command.description())]),
  );
}

/** Others are the name of a group, and print their help. */
function runs(command: Command): boolean {
  return visible(command).length === 0 || command.options.length > 0;
}

function section(command: Command, depth: number): readonly string[] {
  const help = command.createHelp();
  const name = nameOf(command);
  const example = EXAMPLES[name];
  if (runs(command) && example === undefined)
    throw new Error(`test/docs/examples.ts has no example of \`${name}\`: add one`);
  return [
    `${'#'.repeat(depth)} ${name}`,
    says(command.description()),
    ...(runs(command) ? [fenced('text', help.commandUsage(command))] : []),
    ...(command.registeredArguments.length > 0 ? [args(command)] : []),
    ...(runs(command) && command.options.length > 0 ? [options(command)] : []),
    ...(example === undefined ? [] : [fenced('sh', example)]),
    ...visible(command).flatMap((child) => section(child, depth + 1)),
  ];
}

function visible(command: Command): readonly Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

function args(command: Command): string {
  const named = (argument: Argument) => {
    const text = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? `<${text}>` : `[${text}]`;
  };
  const about = ({ description, argChoices }: Argument) =>
    [says(description), argChoices === undefined ? '' : `One of ${argChoices.map(code).join(', ')}.`].join(' ').trim();
  return table(
    ['Argument', 'What it is'],
    command.registeredArguments.map((argument) => [code(named(argument)), about(argument)]),
  );
}

function options(command: Command): string {
  const shown = command.createHelp().visibleOptions(command);
  return table(
    ['Option', 'What it does'],
    shown
      .filter(({ long }) => command.parent === null || long !== '--help')
      .map((option) => [code(option.flags.replaceAll('|', '\\|')), about(option)]),
  );
}

function about({ description, defaultValue, mandatory }: Option): string {
  const isTold = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return [says(description), mandatory ? 'Required.' : '', isTold ? `Default: \`${defaultValue}\`.` : '']
    .filter((text) => text !== '')
    .join(' ');
}

/** A text of the help, which begins with a small letter and has no full stop. */
function says(text: string): string {
  return plain(capital(sentence(text)));
}

/** What the help of the program says below the list of commands. */
function afterHelp(program: Command): string {
  const printed: string[] = [];
  program.configureOutput({ writeOut: (text) => void printed.push(text) });
  program.outputHelp();
  return printed.join('');
}

/** The lines below a heading of the help that begin with a name or a number. */
function rows(help: string, heading: string): string[][] {
  const [, block] = new RegExp(`^${heading}:\\n((?: {2}.*\\n)+)`, 'm').exec(help) ?? [];
  if (block === undefined) throw new Error(`the help of rekeyd has no part "${heading}:"`);
  return [...block.matchAll(/^ {2}([A-Z_]+|\d) +(.*)$/gm)].map(([, name = '', text = '']) => [code(name), says(text)]);
}
