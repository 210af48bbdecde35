/** A process that delivers one client many times: `node deliverer.ts ROOT TIMES [EPOCH]`. Says after the first which key is in all of its sets. */
import { directorySink } from '../../src/deliver/directory.ts';
import { hasCode } from '../../src/errors.ts';
import { contents, sinkKey } from './contents.ts';

const [root = '', times = '1', epoch = '1'] = process.argv.slice(2);
const more = { epoch: Number(epoch) };
const [a, b] = [await sinkKey(), await sinkKey()];
const sink = directorySink(root);
for (let round = 0; round < Number(times); round++) {
  try {
    await sink.deliver(round % 2 === 0 ? contents({ current: b, next: a }, more) : contents({ current: b }, more));
  } catch (error) {
    if (!hasCode(error, 'sink_outdated')) throw error;
  }
  if (round === 0) process.send?.(b.kid);
}
if (process.connected) process.disconnect();
