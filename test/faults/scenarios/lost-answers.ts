/** A request is carried out, and its answer is lost. */
import { CHANGE } from '../../emulator/fault-rules.ts';
import type { Stage } from '../stage/stage.ts';
import type { Confession } from '../trouble/sentence.ts';

/** The next command about that client is executed, and the connection that it came on ends. */
export function loseStoreAnswer({ proxy, history }: Pick<Stage, 'proxy' | 'history'>, ref: string): void {
  history.note({ kind: 'redis', fault: `an answer about ${ref} is lost (0 ms)` });
  proxy.loseAnswer(ref);
}

/** The API carries out what the step asks for, and closes the connection. */
export function loseApiAnswer({ emulator }: Pick<Stage, 'emulator'>, { point, ref }: Confession): void {
  const [, app = '', client = ''] = ref.split('/');
  const [step = ''] = point.split(':');
  const proof = { path: /introspect$/, client };
  const matches = {
    patch: { ...CHANGE, client },
    prove_new: proof,
    prove_old: proof,
    choose: proof,
    look: { method: 'GET', path: /clients$/, app },
  };
  const match = step in matches ? matches[step as keyof typeof matches] : undefined; // as just asked
  if (match === undefined) throw new Error(`nothing is asked of the API at ${point}`);
  emulator.faults.add({ kind: 'drop', when: 'after', match });
}
