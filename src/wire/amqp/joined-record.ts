/** A record (`record.ts`) put together again from its sections, which whoever does it copies to their places. */
import { putUint32LE } from '../../base/bytes.ts';
import { RECORD_HEADER_BYTES, RECORD_VERSION, recordSize, writeDataHead, writeHubTime } from './record.ts';

/** Where sections begin, from the record's start. Annotations do behind its header; one that is absent takes no bytes. */
export interface SectionPlaces {
  readonly propertiesAt: number;
  readonly applicationAt: number;
  readonly bodyAt: number;
}

/**
 * Bytes of the whole record. `sections`: of annotations, properties and application properties together; `body`: without its section's
 * head.
 */
export function joinedSize(sections: number, body: number): number {
  return recordSize(RECORD_HEADER_BYTES + sections, body);
}

/**
 * Writes the record's header and the body section's head, and the hub's time (UTC milliseconds) into the annotations, which are there
 * already. @returns the place of the body's first byte
 */
export function joinHeads(
  target: Buffer,
  at: number,
  { propertiesAt, applicationAt, bodyAt }: SectionPlaces,
  hubTime: number,
  bodySize: number,
): number {
  putUint32LE(target, at, RECORD_VERSION);
  putUint32LE(target, at + 4, propertiesAt);
  putUint32LE(target, at + 8, applicationAt);
  putUint32LE(target, at + 12, bodyAt);
  writeHubTime(target, at, hubTime);
  return writeDataHead(target, at + bodyAt, bodySize);
}
