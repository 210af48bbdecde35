import { expect, test } from 'vitest';
import { createLog } from '../../src/runtime/log.ts';
import { prettyLines } from '../../src/runtime/pretty-log.ts';

const TIME = String.raw`\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\]`;

function written(colorize = false) {
  let text = '';
  const write = (line: string) => {
    text += line;
  };
  return { log: createLog({ level: 'info', destination: prettyLines({ write }, { colorize }) }), text: () => text };
}

test('a line has time, level, message and what belongs to it', () => {
  const { log, text } = written();
  log.debug('too quiet');
  log.warn({ client: '1/app/2', error: 'away', next_try: null }, 'a step failed');
  log.info('started');
  expect(text()).toMatch(
    new RegExp(
      `^${TIME} WARN: a step failed \\{"client":"1/app/2","error":"away","next_try":null\\}\n${TIME} INFO: started\n$`,
    ),
  );
});

test('secrets stay redacted, and nothing that is logged acts on the terminal', () => {
  const { log, text } = written();
  log.error({ password: 'hunter2', error: '\u001b[2Jgone\u0007' }, 'said \u001b[31mred\nand {"level":"info"}');
  expect(text()).not.toContain('hunter2');
  expect(text()).toContain('[redacted]');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
  expect(text()).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
});

test('colours come only when they are asked for', () => {
  const { log, text } = written(true);
  log.info('started');
  expect(text()).toContain('\u001b[');
});
