/** A response to write events to. */
import type { Sink } from '../../src/http/route.ts';

/** What a caller would have got. */
export interface Got extends Sink {
  text: string;
  ended: boolean;
  writableLength: number;
  destroyed: boolean;
  leave(): void;
}

export function sink(): Got {
  let onClose = () => {};
  return {
    text: '',
    ended: false,
    writableLength: 0,
    destroyed: false,
    write(text) {
      this.text += text;
      return true;
    },
    end() {
      this.ended = true;
      onClose();
    },
    on(_, listener) {
      onClose = listener;
    },
    leave: () => onClose(),
  };
}
