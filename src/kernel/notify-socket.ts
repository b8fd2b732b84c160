import { binding } from './binding.js';
import { errnoName } from './errno.js';

/**
 * Sends datagrams to a unix socket: a path, or an abstract address with '@' before it.
 * @returns what sends one; it never waits, and answers with the kernel's word where one could not be sent
 */
export function notifySocket(address: string): (message: string) => string | undefined {
  const addon = binding();
  const encoder = new TextEncoder();
  return (message) => {
    const result = addon.sendDatagram(address, encoder.encode(message));
    return result < 0 ? errnoName(result) : undefined;
  };
}
