/** Whether nobody between can listen in: the host of a URL, an IPv6 address in brackets, is this machine. */
export function isLoopback(host: string): boolean {
  return host === '[::1]' || /^127(\.\d+){3}$/.test(host) || /^(.+\.)?localhost$/.test(host);
}
