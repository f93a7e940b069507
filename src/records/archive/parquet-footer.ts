/** How long the end of a Parquet file is, which says where all else is. */
/** Behind the end of the table: its length, and `PAR1`. */
export const FOOTER_TAIL_BYTES = 8;

/** Bytes of the end of a file, with its tail, from the tail's bytes. @throws Error it is no Parquet */
export function footerBytes(tail: Uint8Array, fileBytes: number): number {
  const { buffer, byteOffset, byteLength } = tail;
  const view = new DataView(buffer, byteOffset, byteLength);
  if (byteLength < FOOTER_TAIL_BYTES || view.getUint32(byteLength - 4, true) !== 0x31524150) {
    throw new Error('the file is no Parquet');
  }
  const bytes = view.getUint32(byteLength - FOOTER_TAIL_BYTES, true) + FOOTER_TAIL_BYTES;
  if (bytes > fileBytes) throw new Error('the Parquet file is damaged: its end is larger than it');
  return bytes;
}
