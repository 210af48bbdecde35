/** What a stopped service must not leave behind. Pipes of the test runner itself are there before and after. */
const KINDS = ['TCPSocketWrap', 'TCPServerWrap', 'PipeWrap', 'PipeServerWrap', 'ProcessWrap', 'Timeout', 'FSEventWrap'];

/** How many sockets, servers, child processes and timers keep this process alive. */
export function openHandles(): number {
  return process.getActiveResourcesInfo().filter((kind) => KINDS.includes(kind)).length;
}
