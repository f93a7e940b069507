/** Twins of core -> JSON of the REST API; bodies of requests -> what they want. */
import { methodRequestSchema, type TwinJson } from '../../api/twins.ts';
import { memberText } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import type { MethodRequest } from '../../core/methods/types.ts';
import { twinDocument } from '../../core/twins/document.ts';
import type { TwinView } from '../../core/twins/room.ts';
import { parseJson } from './json-body.ts';
import { invalidArgument } from './refusals.ts';

export function twinJson(view: TwinView): TwinJson {
  return twinDocument(view);
}

/** The payload stays the text that it is: it must reach the device as it was written. @throws HubError ArgumentInvalid … */
export function methodRequest(body: Buffer): MethodRequest {
  const read = methodRequestSchema.safeParse(parseJson(body, { valuesMax: limits.methodValuesMax }));
  if (!read.success) throw invalidArgument(read.error, 'body');
  const { methodName, responseTimeoutInSeconds, timeoutInSeconds, connectTimeoutInSeconds } = read.data;
  const payload = memberText(body.toString('utf8'), 'payload');
  const responseSeconds = responseTimeoutInSeconds ?? timeoutInSeconds;
  return {
    name: methodName,
    ...(payload !== undefined && { payload }),
    responseMs: responseSeconds == null ? limits.methodResponseMsDefault : responseSeconds * 1000,
    connectMs: (connectTimeoutInSeconds ?? 0) * 1000,
  };
}
