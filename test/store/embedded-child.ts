/** Another rekeyd process over the same data: opens the embedded store, says so on stdout, closes when its input ends. */
import { openEmbedded } from '../../src/store/embedded/embedded.ts';

const [dataDir = ''] = process.argv.slice(2);
const { socketPath, serverPid, owned, close } = await openEmbedded({ dataDir, searchPath: process.env.PATH ?? '' });
process.stdout.write(`${JSON.stringify({ socketPath, serverPid, owned })}\n`);
process.stdin.resume().once('end', () => void close().then(() => process.stdout.write('closed\n')));
