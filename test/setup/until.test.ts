import { expect, onTestFinished, test } from 'vitest';
import { until, witness } from '../support/until.ts';

test('what does not happen is told with what was seen last, and with what went on beside it', async () => {
  onTestFinished(witness(() => '{"msg":"the latest line of a log"}'));
  let looks = 0;
  const look = () => {
    looks += 1;
    return { state: 'running', looks };
  };
  const waiting = until('the client is rotated', (saw) => saw(look()).state === 'done', 40);
  const error = await waiting.then(
    () => '',
    (error: Error) => error.message,
  );
  expect(error).toMatch(
    /^the client is rotated: not within 40 ms\. Last seen: \{ state: 'running', looks: \d+ \}\nBeside it: /,
  );
  expect(error).toContain('the latest line of a log');
});

test('what tells nothing is told by its answer, and a long text by its end', async () => {
  await expect(until('it answers', () => null, 1)).rejects.toThrow('it answers: not within 1 ms. Last seen: null');
  const text = `${'x'.repeat(5_000)} the end`;
  const waiting = until('it is printed', (saw) => saw(text).includes('nothing like that'), 1);
  await expect(waiting).rejects.toThrow(/ the end$/);
  await expect(waiting).rejects.not.toThrow(text);
});

test('an answer is returned as soon as there is one', async () => {
  const answers = [null, undefined, false, 'there', 'too late'];
  expect(await until('the fourth', () => answers.shift() as string | null | undefined | false)).toBe('there');
  expect(answers).toEqual(['too late']);
});
