/** A process of a user without rights: `node restricted-child.ts ROOT ACCESS`. Says what came of a delivery, and of the check. */
import { directorySink } from '../../src/deliver/directory.ts';
import { messageOf } from '../../src/errors.ts';
import { PRIVATE } from '../../src/files/access.ts';
import { contents, sinkKey } from './contents.ts';

const [root = '', access = '{}'] = process.argv.slice(2);
const sink = directorySink(root, { access: { ...PRIVATE, ...JSON.parse(access) }, reports: null, store: null });
const set = contents({ current: await sinkKey() });
const delivered = await sink.deliver(set).then(() => null, messageOf);
process.send?.({ delivered, checked: await sink.check() });
process.disconnect();
