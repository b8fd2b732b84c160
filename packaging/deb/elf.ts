import type { Architecture } from './architecture.js';

/** `e_machine` of elf(5), as far as packages are made for it: EM_X86_64 and EM_AARCH64. */
const machines: Readonly<Record<number, Architecture['debian']>> = { 62: 'amd64', 183: 'arm64' };

/**
 * For which architecture a file was compiled, by its ELF header: magic at 0, class (2: 64 bits) at 4, byte order
 * (1: little-endian) at 5, `e_machine` at 18.
 *
 * @returns a Debian architecture, `other` for one that no package is made for, or undefined where it is no ELF file
 */
export function elfArchitecture(file: Uint8Array): Architecture['debian'] | 'other' | undefined {
  if (file.length < 20 || Buffer.from(file.subarray(0, 4)).toString('latin1') !== '\x7fELF') return undefined;
  if (file[4] !== 2 || file[5] !== 1) return 'other';
  return machines[(file[18] ?? 0) | ((file[19] ?? 0) << 8)] ?? 'other';
}
