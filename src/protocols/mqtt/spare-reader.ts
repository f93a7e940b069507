import { PacketReader } from '../../wire/mqtt/packet-reader.ts';

/** A reader that holds nothing: one is enough for all connections that are idle. */
let spare: PacketReader | undefined;

/** A reader for a connection of which bytes have come. */
export function takeReader(): PacketReader {
  const reader = spare ?? new PacketReader();
  spare = undefined;
  return reader;
}

/** Takes back a reader in which no byte waits. */
export function giveBackReader(reader: PacketReader): void {
  spare = reader;
}
