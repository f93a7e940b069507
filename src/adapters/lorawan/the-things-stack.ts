/**
 * Webhooks of The Things Stack v3, and its API for downlinks (thethingsindustries.com/docs: "Webhooks", "Data Formats", "Scheduling
 * Downlinks"). It leaves out what is empty, 0 or false.
 */

import type { ApiCall, Downlink } from './api-call.ts';
import {
  bestOf,
  type DeviceName,
  devEuiOf,
  type LoraEvent,
  type Members,
  maybeMembers,
  membersOf,
  NotUnderstood,
  numberOf,
  payloadOf,
  textOf,
  textsOf,
  timeOf,
} from './events.ts';
import type { DownlinkSettings } from './settings.ts';

/** Member of the body -> event. */
const reports: ReadonlyMap<string, { readonly event: string; readonly outcome?: 'arrived' | 'failed' | 'undecided' }> =
  new Map([
    ['join_accept', { event: 'join' }],
    ['downlink_ack', { event: 'ack', outcome: 'arrived' }],
    ['downlink_nack', { event: 'nack', outcome: 'failed' }],
    ['downlink_failed', { event: 'failed', outcome: 'failed' }],
    ['downlink_sent', { event: 'sent', outcome: 'undecided' }],
    ['downlink_queued', { event: 'queued', outcome: 'undecided' }],
    ['downlink_queue_invalidated', { event: 'queue-invalidated' }],
    ['location_solved', { event: 'location' }],
    ['service_data', { event: 'service-data' }],
  ]);

/** @throws NotUnderstood */
export function readTheThingsStack(body: unknown): LoraEvent {
  const all = membersOf(body, 'the body');
  const ids = membersOf(all.end_device_ids, 'end_device_ids');
  const reference = {
    application: idOf(maybeMembers(ids.application_ids).application_id, 'application_id'),
    device: idOf(ids.device_id, 'device_id'),
  };
  const device: DeviceName = { devEui: devEuiOf(ids.dev_eui), reference };
  const received = typeof all.received_at === 'string' ? all.received_at.slice(0, 40) : '';
  if (all.uplink_message !== undefined)
    return uplink(device, membersOf(all.uplink_message, 'uplink_message'), received);
  for (const [member, { event, outcome }] of reports) {
    if (all[member] === undefined) continue;
    const said = membersOf(all[member], member);
    // A failure has its downlink inside.
    const ids = textsOf(maybeMembers(said.downlink).correlation_ids ?? said.correlation_ids ?? all.correlation_ids);
    const id = `${event}:${device.devEui}:${received}:${ids[0] ?? ''}`;
    return {
      kind: 'report',
      device,
      id,
      event,
      time: timeOf(received),
      body: said,
      ...(outcome && { downlink: { ids, outcome } }),
    };
  }
  throw new NotUnderstood('neither uplink_message nor an event that is known');
}

/** An id there: it becomes part of an address of the API, where `..` would lead elsewhere. */
function idOf(value: unknown, what: string): string {
  const id = textOf(value, what);
  if (!/^[a-z0-9](-?[a-z0-9])*$/.test(id)) throw new NotUnderstood(`${what} is no id of The Things Stack`);
  return id;
}

function uplink(device: DeviceName, message: Members, received: string): LoraEvent {
  const fCnt = numberOf(message.f_cnt);
  const session = typeof message.session_key_id === 'string' ? message.session_key_id.slice(0, 64) : '';
  return {
    kind: 'uplink',
    device,
    id: `up:${device.devEui}:${session}:${fCnt}:${received}`,
    payload: payloadOf(message.frm_payload),
    decoded: message.decoded_payload,
    fPort: numberOf(message.f_port),
    fCnt,
    time: timeOf(message.received_at) ?? timeOf(received),
    ...bestOf(message.rx_metadata),
  };
}

export function theThingsStackCall(
  settings: DownlinkSettings,
  { device, payload, fPort, confirmed, id }: Downlink,
): ApiCall {
  const { application, device: name } = device.reference;
  const parts = ['as', 'applications', application, 'webhooks', settings.webhookId, 'devices', name, 'down', 'push'];
  return {
    path: `/api/v3/${parts.map(encodeURIComponent).join('/')}`,
    headers: (token) => ({ authorization: `Bearer ${token}` }),
    body: {
      downlinks: [
        {
          f_port: fPort,
          frm_payload: payload.toString('base64'),
          confirmed,
          priority: 'NORMAL',
          correlation_ids: [id],
        },
      ],
    },
    // Its answer is empty: events name the downlink by the correlation id.
    idOf: () => id,
  };
}
