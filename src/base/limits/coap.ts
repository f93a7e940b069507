/** CoAP. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB } from './units.ts';

export const coapLimits = {
  /** A datagram that the hub reads: a block of 1,024 bytes, its options and the protection around it. A larger one is ignored. */
  coapDatagramBytesMax: 4 * KiB,
  /** Options of one message; the clients of the field send fewer than ten. */
  coapOptionsMax: 48,
  /** Bytes of one option: RFC 7252 (table 4) allows 255 for each that the hub knows, RFC 8613 as many for its own. */
  coapOptionBytesMax: 255,
  /** A message on a stream (RFC 8323); announced by the hub's CSM. What is larger comes in blocks. */
  coapStreamMessageBytesMax: 8 * KiB,
} as const;
