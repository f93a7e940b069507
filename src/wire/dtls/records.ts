/** Records of DTLS 1.2 in a datagram: RFC 6347 section 4.1. */
import { limits } from '../../base/limits.ts';

export const contentTypes = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;
export const RECORD_HEADER_BYTES = 13;
export const DTLS_1_2 = 0xfefd;
/** Also what a ClientHello's record says (section 4.2.1). */
export const DTLS_1_0 = 0xfeff;

export interface DtlsRecord {
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  /** 48 bits. */
  readonly sequence: number;
  /** As it came: sealed in epochs behind 0. */
  readonly fragment: Buffer;
}

/** What cannot be read is ignored, with everything behind it (section 4.1.2.7). Fragments are views. */
export function readRecords(datagram: Buffer): readonly DtlsRecord[] {
  const records: DtlsRecord[] = [];
  for (let at = 0; at + RECORD_HEADER_BYTES <= datagram.length; ) {
    const version = datagram.readUInt16BE(at + 1);
    const end = at + RECORD_HEADER_BYTES + datagram.readUInt16BE(at + 11);
    const isOurs = version === DTLS_1_2 || version === DTLS_1_0;
    if (!isOurs || end > datagram.length || records.length === limits.dtlsRecordsPerDatagramMax) break;
    records.push({
      type: datagram[at],
      version,
      epoch: datagram.readUInt16BE(at + 3),
      sequence: datagram.readUIntBE(at + 5, 6),
      fragment: datagram.subarray(at + RECORD_HEADER_BYTES, end),
    });
    at = end;
  }
  return records;
}

export function encodeRecord(record: DtlsRecord): Buffer {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + record.fragment.length);
  bytes[0] = record.type;
  bytes.writeUInt16BE(record.version, 1);
  bytes.writeUInt16BE(record.epoch, 3);
  bytes.writeUIntBE(record.sequence, 5, 6);
  bytes.writeUInt16BE(record.fragment.length, 11);
  record.fragment.copy(bytes, RECORD_HEADER_BYTES);
  return bytes;
}
