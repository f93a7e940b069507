/** Twins of core -> JSON of the REST API; bodies of requests -> what they want. */
import { methodRequestSchema, type TwinJson } from '../../api/twins.ts';
import { memberText } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import type { MethodRequest } from '../../core/methods/types.ts';
import { sectionJson, stampText } from '../../core/twins/json.ts';
import type { TwinView } from '../../core/twins/room.ts';
import { twinETag, twinVersion } from '../../core/twins/rules.ts';
import { parseJson } from './json-body.ts';
import { invalidArgument } from './refusals.ts';

export function twinJson({ identity, twin, modelId }: TwinView): TwinJson {
  const { x509Thumbprint, type } = identity.authentication;
  return {
    deviceId: identity.deviceId,
    ...(identity.moduleId !== undefined && { moduleId: identity.moduleId }),
    etag: twinETag(twin),
    deviceEtag: identity.etag,
    status: identity.status,
    ...(identity.statusReason !== null && { statusReason: identity.statusReason }),
    statusUpdateTime: stampText(identity.statusUpdatedTime),
    connectionState: identity.connected ? 'Connected' : 'Disconnected',
    connectionStateUpdatedTime: stampText(identity.connectionStateUpdatedTime),
    lastActivityTime: stampText(identity.lastActivityTime),
    cloudToDeviceMessageCount: identity.cloudToDeviceMessageCount,
    authenticationType: type,
    x509Thumbprint: {
      primaryThumbprint: x509Thumbprint?.primaryThumbprint ?? null,
      secondaryThumbprint: x509Thumbprint?.secondaryThumbprint ?? null,
    },
    modelId,
    version: twinVersion(twin),
    tags: twin.tags,
    properties: { desired: sectionJson(twin.desired), reported: sectionJson(twin.reported) },
    capabilities: identity.capabilities,
    ...(identity.deviceScope !== null && { deviceScope: identity.deviceScope }),
    ...(identity.parentScopes.length > 0 && { parentScopes: [...identity.parentScopes] }),
  };
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
