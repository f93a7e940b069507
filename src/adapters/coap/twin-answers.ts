/** A twin as answers. */
import type { JsonObject, Twin } from '../../gateway/index.ts';
import { codes, options, uintBytes } from '../../wire/coap/messages.ts';
import { jsonFormat } from './content.ts';
import type { Answer } from './exchange.ts';

const json = (value: JsonObject): Buffer => Buffer.from(JSON.stringify(value));

/** All desired properties; their version is the ETag, and `$version` in the body. */
export function desiredAnswer(twin: Twin): Answer {
  return {
    code: codes.content,
    options: [{ number: options.etag, value: uintBytes(twin.desiredVersion + 1) }, jsonFormat],
    payload: json({ ...twin.desired, $version: twin.desiredVersion }),
  };
}

export const reportedAnswer = (twin: Twin): Answer => ({
  code: codes.content,
  options: [jsonFormat],
  payload: json(twin.reported),
});

export const twinAnswer = (twin: Twin): Answer => ({
  code: codes.content,
  options: [jsonFormat],
  payload: json({ desired: { ...twin.desired, $version: twin.desiredVersion }, reported: twin.reported }),
});
