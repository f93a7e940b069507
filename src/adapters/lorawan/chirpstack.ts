/**
 * Webhooks of ChirpStack v4 (its HTTP integration, JSON), and its API for downlinks by chirpstack-rest-api (chirpstack.io/docs:
 * "Events", "HTTP"; `DeviceService.Enqueue`). The query says which event it is.
 */

import type { ApiCall, Downlink } from './api-call.ts';
import {
  bestOf,
  type DeviceName,
  devEuiOf,
  type LoraEvent,
  maybeMembers,
  membersOf,
  NotUnderstood,
  numberOf,
  payloadOf,
  textOf,
  timeOf,
} from './events.ts';

const events = ['join', 'ack', 'txack', 'status', 'log', 'location', 'integration'];

/** @param event of the query @throws NotUnderstood */
export function readChirpStack(body: unknown, event: string | null): LoraEvent {
  const all = membersOf(body, 'the body');
  const info = membersOf(all.deviceInfo, 'deviceInfo');
  const devEui = devEuiOf(info.devEui);
  const application = typeof info.applicationId === 'string' ? info.applicationId.slice(0, 64) : '';
  const device: DeviceName = { devEui, reference: { application, device: devEui } };
  const time = timeOf(all.time);
  // Events other than uplinks have the id of the uplink or downlink that they are about, or one of their own.
  const given =
    typeof all.deduplicationId === 'string' && all.deduplicationId !== ''
      ? all.deduplicationId
      : String(all.time ?? '');
  const id = `${event}:${devEui}:${given.slice(0, 64)}`;
  if (event === 'up') {
    const facts = {
      payload: payloadOf(all.data),
      decoded: all.object,
      fPort: numberOf(all.fPort),
      fCnt: numberOf(all.fCnt),
      time,
    };
    return { kind: 'uplink', device, id, ...facts, ...bestOf(all.rxInfo) };
  }
  if (event === null || !events.includes(event))
    throw new NotUnderstood('the query has no event that is known (?event=up)');
  const said = Object.fromEntries(Object.entries(all).filter(([name]) => name !== 'deviceInfo'));
  const ids = typeof all.queueItemId === 'string' ? [textOf(all.queueItemId, 'queueItemId')] : [];
  if (event === 'ack') {
    const outcome = all.acknowledged === true ? 'arrived' : 'failed';
    return {
      kind: 'report',
      device,
      id,
      event: outcome === 'arrived' ? 'ack' : 'nack',
      time,
      body: said,
      downlink: { ids, outcome },
    };
  }
  if (event === 'txack')
    return { kind: 'report', device, id, event: 'sent', time, body: said, downlink: { ids, outcome: 'undecided' } };
  return { kind: 'report', device, id, event, time, body: said };
}

export function chirpStackCall({ device, payload, fPort, confirmed }: Downlink): ApiCall {
  return {
    path: `/api/devices/${device.devEui}/queue`,
    // The REST API hands it to gRPC as `authorization`.
    headers: (token) => ({ 'grpc-metadata-authorization': `Bearer ${token}` }),
    body: { queueItem: { devEui: device.devEui, fPort, data: payload.toString('base64'), confirmed } },
    idOf: (answer) => textOf(maybeMembers(answer).id, 'id in the answer'),
  };
}
