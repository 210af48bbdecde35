/** Answers to the AWS SDK, which takes a body of any size into memory. Imports nothing of the SDK: it is not there everywhere. */
import { Readable, Transform } from 'node:stream';
import { messageOf } from '../errors.ts';

/** In bytes; what AWS answers to the calls of rekeyd has a few KiB. */
const MOST_BYTES = 1024 ** 2;

/** Where in the SDK's stack {@link capped} stands: it sees an answer first. */
export const FIRST = { step: 'deserialize', priority: 'low', name: 'rekeydCap' } as const;

/** A middleware of the SDK: an answer that is too large becomes an error. */
export function capped<Args, Answer extends { readonly response: unknown }>(next: (args: Args) => Promise<Answer>) {
  return async (args: Args): Promise<Answer> => {
    const answer = await next(args);
    const { response } = answer;
    if (typeof response === 'object' && response !== null && 'body' in response && response.body instanceof Readable) {
      response.body = limited(response.body);
    }
    return answer;
  };
}

function limited(body: Readable): Readable {
  let size = 0;
  const limit = new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length;
      if (size > MOST_BYTES) done(new Error(`the answer is larger than ${MOST_BYTES} bytes`));
      else done(null, chunk);
    },
  });
  // The rest is never read.
  limit.on('error', () => body.destroy());
  body.on('error', (error) => limit.destroy(error));
  return body.pipe(limit);
}

/** What the SDK says of a call that failed. By its own slips over an odd answer it names parts of itself. */
export function saidBySdk(error: unknown): string {
  const message = messageOf(error);
  const isSlip = error instanceof TypeError || error instanceof SyntaxError || /Deserialization error/.test(message);
  return isSlip ? 'the answer is not as those of AWS are' : message;
}
