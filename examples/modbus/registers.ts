/** Registers of a device and what they mean. */

export type RegisterType = keyof typeof types;

export interface Register {
  /** The member of the message. */
  readonly name: string;
  readonly kind: 'holding' | 'input';
  /** Address, counted from 0 as on the wire. */
  readonly at: number;
  readonly type: RegisterType;
  /** A register of 215 with a scale of 0.1 is 21.5. */
  readonly scale: number;
}

/** Larger values lie in two registers, the high one first. */
const types = {
  u16: { bytes: 2, min: 0, max: 0xffff, read: (at: Buffer) => at.readUInt16BE(), write: writer('writeUInt16BE') },
  i16: { bytes: 2, min: -0x8000, max: 0x7fff, read: (at: Buffer) => at.readInt16BE(), write: writer('writeInt16BE') },
  u32: { bytes: 4, min: 0, max: 0xffffffff, read: (at: Buffer) => at.readUInt32BE(), write: writer('writeUInt32BE') },
  i32: {
    bytes: 4,
    min: -(2 ** 31),
    max: 2 ** 31 - 1,
    read: (at: Buffer) => at.readInt32BE(),
    write: writer('writeInt32BE'),
  },
  f32: { bytes: 4, min: -3.4e38, max: 3.4e38, read: (at: Buffer) => at.readFloatBE(), write: writer('writeFloatBE') },
} as const;

export const typeNames = ['u16', 'i16', 'u32', 'i32', 'f32'] as const;

function writer(name: 'writeUInt16BE' | 'writeInt16BE' | 'writeUInt32BE' | 'writeInt32BE' | 'writeFloatBE') {
  return (into: Buffer, value: number): number => into[name](value);
}

export const registersOf = ({ type }: Register): number => types[type].bytes / 2;

export function numberOf({ type, scale }: Register, bytes: Buffer): number {
  const value = types[type].read(bytes) * scale;
  // 215 times 0.1 is 21.500000000000004: more digits than a register holds say nothing.
  return Number(value.toPrecision(10));
}

/** @returns undefined where the register cannot hold it */
export function registersFor({ type, scale }: Register, value: number): Buffer | undefined {
  const { bytes, min, max, write } = types[type];
  const raw = type === 'f32' ? value / scale : Math.round(value / scale);
  if (!(raw >= min && raw <= max)) return undefined;
  const into = Buffer.alloc(bytes);
  write(into, raw);
  return into;
}
