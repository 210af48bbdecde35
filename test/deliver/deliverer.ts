/** A process that delivers one client many times: `node deliverer.ts ROOT TIMES`. Says so after the first. */
import { directorySink } from '../../src/deliver/directory.ts';
import { contents, sinkKey } from './contents.ts';

const [root = '', times = '1'] = process.argv.slice(2);
const [a, b] = [await sinkKey(), await sinkKey()];
const sink = directorySink(root);
for (let round = 0; round < Number(times); round++) {
  await sink.deliver(round % 2 === 0 ? contents({ current: a, next: b }) : contents({ current: b }));
  if (round === 0) process.send?.('delivered');
}
if (process.connected) process.disconnect();
