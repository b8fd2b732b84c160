/**
 * A small assembler for classic BPF (linux/filter.h, Documentation/networking/filter.rst): instructions in order, jumps
 * to named labels, forward only, as the kernel demands.
 */
export type Instruction =
  /** A ← packet[offset], `bytes` wide, network order; outside the packet the program returns 0 (drop). */
  | { readonly op: 'load'; readonly bytes: 1 | 2 | 4; readonly offset: number }
  /** A ← something the kernel knows about the packet, see {@link ancillary}. */
  | { readonly op: 'loadAncillary'; readonly what: keyof typeof ancillary }
  | { readonly op: 'and'; readonly mask: number }
  /** Compares A with `value`: if so go to `yes`, else to `no`; a missing label is the next instruction. */
  | {
      readonly op: 'ifEqual' | 'ifGreaterOrEqual' | 'ifAnyBit';
      readonly value: number;
      readonly yes?: string;
      readonly no?: string;
    }
  | { readonly op: 'goto'; readonly to: string }
  /** Ends: how many bytes of the packet to keep, 0 to drop. */
  | { readonly op: 'return'; readonly bytes: number }
  | { readonly op: 'label'; readonly name: string };

/** Offsets from SKF_AD_OFF (linux/filter.h). */
export const ancillary = { protocol: 0, packetType: 4, ifindex: 8, vlanTag: 44, vlanTagPresent: 48 } as const;
const skfAdOff = 0xfffff000;

const opcodes = { 1: 0x30, 2: 0x28, 4: 0x20 } as const; // BPF_LD | BPF_B/H/W | BPF_ABS
const jumps = { ifEqual: 0x15, ifGreaterOrEqual: 0x35, ifAnyBit: 0x45 } as const; // BPF_JMP | JEQ/JGE/JSET | BPF_K

/**
 * Assembles to struct sock_filter[]: {u16 code, u8 jumpTrue, u8 jumpFalse, u32 k}, native byte order.
 * @throws RangeError on an unknown label, a jump backwards or over more than 255 instructions: a mistake in the program.
 */
export function assemble(program: readonly Instruction[]): Uint8Array {
  const labels = new Map<string, number>();
  let count = 0;
  for (const instruction of program) {
    if (instruction.op === 'label') labels.set(instruction.name, count);
    else count++;
  }
  const bytes = new Uint8Array(count * 8);
  const code = new Uint16Array(bytes.buffer);
  const k = new Uint32Array(bytes.buffer);
  let at = 0;
  const distance = (label: string | undefined, limit: number): number => {
    if (label === undefined) return 0;
    const target = labels.get(label);
    if (target === undefined) throw new RangeError(`bpf: no label "${label}"`);
    const far = target - at - 1;
    if (far < 0 || far > limit) throw new RangeError(`bpf: label "${label}" is out of reach (${far})`);
    return far;
  };
  const emit = (opcode: number, operand: number, jumpTrue = 0, jumpFalse = 0): void => {
    code[at * 4] = opcode;
    bytes[at * 8 + 2] = jumpTrue;
    bytes[at * 8 + 3] = jumpFalse;
    k[at * 2 + 1] = operand >>> 0;
    at++;
  };
  for (const instruction of program) {
    switch (instruction.op) {
      case 'load':
        emit(opcodes[instruction.bytes], instruction.offset);
        break;
      case 'loadAncillary':
        emit(opcodes[4], skfAdOff + ancillary[instruction.what]);
        break;
      case 'and':
        emit(0x54, instruction.mask);
        break;
      case 'ifEqual':
      case 'ifGreaterOrEqual':
      case 'ifAnyBit':
        emit(jumps[instruction.op], instruction.value, distance(instruction.yes, 255), distance(instruction.no, 255));
        break;
      case 'goto':
        emit(0x05, distance(instruction.to, count));
        break;
      case 'return':
        emit(0x06, instruction.bytes);
        break;
      case 'label':
        break;
    }
  }
  return bytes;
}
