/** The head of a message frame -> telemetry. */
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { claimsSender } from '../../core/events/rules.ts';
import type { Telemetry } from '../../core/events/types.ts';
import type { MessageHead } from './words.ts';

const id = z.string().max(limits.messageIdCharsMax).optional();
const headSchema: z.ZodType<MessageHead> = z.strictObject({
  ...{ m: id, c: id },
  t: z.number().min(0).max(8.64e15).optional(),
  ct: z.string().max(limits.adapterContentTypeCharsMax).optional(),
  ce: z.string().max(limits.adapterContentTypeCharsMax).optional(),
  p: z.record(z.string(), z.string()).optional(),
  a: z.string().optional(),
});

/** @throws HubError ArgumentInvalid */
export function headOf(bytes: Buffer, start: number, end: number): MessageHead {
  if (start === end) return {};
  try {
    return headSchema.parse(JSON.parse(bytes.toString('utf8', start, end)));
  } catch {
    throw new HubError('ArgumentInvalid', 'The properties of the message are not of the form that they have.');
  }
}

export function telemetryOf({ m, c, t, ct, ce, p = {}, a }: MessageHead, body: Buffer): Telemetry {
  return {
    system: {
      ...(m !== undefined && { messageId: m }),
      ...(c !== undefined && { correlationId: c }),
      ...(t !== undefined && { creationTime: t }),
      ...(ct !== undefined && { contentType: ct }),
      ...(ce !== undefined && { contentEncoding: ce }),
    },
    properties: Object.entries(p).filter(([name]) => !claimsSender(name)),
    body,
    ...(a !== undefined && { address: a.slice(0, limits.adapterAddressCharsMax) }),
  };
}
