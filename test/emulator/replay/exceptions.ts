/** Exchanges that the emulator answers otherwise than the real server, each with the reason. An entry that is no longer needed fails the test. */
export const EXCEPTIONS: ReadonlyMap<string, string> = new Map([
  [
    'rotate-secret without a secret',
    'The emulator says 501: secrets of clients are not rotated here, rekeyd never asks for it.',
  ],
  [
    'registration without its token',
    'The emulator says 404: clients do not register themselves here, rekeyd never asks for it.',
  ],
]);
