/** Log lines for a person at a terminal. Loaded only where somebody reads them: a service that logs to a machine needs none of it. */
import { type DestinationStream, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';

export function prettyStderr(): DestinationStream {
  const colorize = process.stderr.isTTY && process.stderr.hasColors();
  return prettyLines(pino.destination({ dest: 2, sync: true }), { colorize });
}

/** Control characters in what is logged do not get through: they would act on the terminal. */
export function prettyLines(to: DestinationStream, { colorize }: { readonly colorize: boolean }): DestinationStream {
  const pretty = prettyFactory({
    colorize,
    ignore: 'service',
    singleLine: true,
    // Ours are texts: with the other members, so that an event stays one line.
    errorLikeObjectKeys: [],
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
  });
  return { write: (line: string) => to.write(pretty(line)) };
}
