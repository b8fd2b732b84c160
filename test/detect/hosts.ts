import { run } from '../lab/ip.js';

/** Hosts of the LAN, looked at and used with the tools that every host has. */
export const ip = (netns: string, ...words: readonly string[]): string => run('ip', ['-n', netns, ...words]);

export const inside = (netns: string, ...words: readonly string[]): string =>
  run('ip', ['netns', 'exec', netns, ...words]);

export function macOf(netns: string, link: string): string {
  const [found] = JSON.parse(ip(netns, '-j', 'link', 'show', 'dev', link)) as { address: string }[];
  if (found === undefined) throw new Error(`${netns} has no ${link}`);
  return found.address;
}

/** What a host's cache says about an address; undefined where it says nothing. */
export function neighbour(netns: string, address: string): string | undefined {
  const entries = JSON.parse(ip(netns, '-j', 'neigh', 'show', 'to', address) || '[]') as { lladdr?: string }[];
  return entries.find(({ lladdr }) => lladdr !== undefined)?.lladdr;
}

/** One datagram from a host, which has to ask for the other's MAC where it does not know it. */
export function speak(netns: string, address: string, from?: string): void {
  const script = `
    const socket = require('node:dgram').createSocket('udp${address.includes(':') ? 6 : 4}');
    socket.bind(0, ${JSON.stringify(from)}, () => socket.send('x', 9, ${JSON.stringify(address)}, () => setTimeout(() => socket.close(), 50)));
    socket.on('error', () => {});`;
  inside(netns, process.execPath, '-e', script);
}
