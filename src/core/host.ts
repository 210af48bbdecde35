/** True for this machine, on the way to which nobody can listen in. @param host of a URL: an IPv6 address has brackets */
export function isLoopback(host: string): boolean {
  return host === '[::1]' || /^127(\.\d+){3}$/.test(host) || /^(.+\.)?localhost$/.test(host);
}
