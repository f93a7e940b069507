import { HubError } from '../../../core/errors.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import type { EventPosition } from '../../../core/events/types.ts';
import type { Principal } from '../../../core/identity/types.ts';
import { int, string } from '../../../wire/amqp/fields.ts';
import type { AmqpError } from '../../../wire/amqp/performatives.ts';
import type { PartitionAddress, RedirectAddress } from '../addresses.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import type { LinkHost } from '../link-host.ts';
import { EventDelivery } from './event-delivery.ts';
import { readPosition } from './positions.ts';

const METRICS = 'com.microsoft:enable-receiver-runtime-metric';
const EPOCH = 'com.microsoft:epoch';
const RECEIVER_NAME = 'com.microsoft:receiver-name';

/** Opens a link on which a back end reads a partition (service reference 5). @throws HubError */
export async function openEventReader(
  link: OutgoingLink,
  place: PartitionAddress,
  host: LinkHost,
  principal: Principal,
): Promise<void> {
  const { events, clock } = host.hub;
  const position = readPosition(link.attach.filter);
  const source = await events.openReader(principal, place);
  const { log, partition, delivered } = source;
  const from = await seek(log, partition, position, host);
  const { lastSequence } = await log.partition(partition);
  if (position.kind === 'sequence' && from > lastSequence + 1) {
    throw new HubError(
      'ArgumentInvalid',
      `The supplied sequence number '${position.sequence}' is invalid. The last sequence number in the system is '${lastSequence}'`,
    );
  }
  if (link.state !== 'opening') return;
  const epoch = link.attach.properties.get(EPOCH);
  const name = link.attach.properties.get(RECEIVER_NAME);
  const reader = typeof name === 'string' ? name : link.attach.name;
  const leave = await events.enterReceiver(source, {
    name: reader,
    epoch: typeof epoch === 'number' ? epoch : undefined,
    displaced: (reason) => link.detach(host.error(reason)),
  });
  link.whenClosed(leave);
  if (link.state !== 'opening') return;
  const withMetrics = link.attach.desiredCapabilities.includes(METRICS);
  const delivery = new EventDelivery({
    link,
    log,
    shown: source.shown,
    partition,
    from,
    withMetrics,
    turns: host.turns,
    socket: host.socket,
    ...(delivered !== undefined && { delivered: (record) => delivered(record, reader) }),
    now: () => clock.now(),
    unsentBytes: () => host.unsentBytes(),
    failed: (error) => {
      host.log.error({ eventHub: log.name, partition, error }, 'events could not be read');
      link.detach(host.error(error));
    },
  });
  link.whenClosed(() => delivery.stop());
  link.onSendable = () => delivery.pump();
  link.open({ sendsSettled: true, offeredCapabilities: withMetrics ? [METRICS] : undefined });
}

/** A time is looked for on the disk: one at a time for a connection, which is not read meanwhile. */
async function seek(log: EventLog, partition: number, position: EventPosition, host: LinkHost): Promise<number> {
  if (position.kind !== 'time') return log.seek(partition, position);
  const release = host.hold();
  try {
    return await log.seek(partition, position);
  } finally {
    release();
  }
}

/**
 * Sends an old client from the hub's address to the event hub's (service reference 6).
 * @param dialled host that the peer says it has dialled
 */
export function redirection(
  { stream, rest }: RedirectAddress,
  {
    hub,
    port,
    dialled,
    trackingId,
  }: {
    readonly hub: LinkHost['hub'];
    readonly port: number;
    readonly dialled: string;
    readonly trackingId: string;
  },
): AmqpError {
  const named = dialled.replace(/:\d+$/, '');
  const host = named !== '' && hub.hostNames.accepts(named) ? named : hub.hostNames.all[0];
  return {
    condition: 'amqp:link:redirect',
    info: [
      ['hostname', string(host)],
      ['network-host', string(host)],
      ['port', int(port)],
      ['address', string(`amqps://${host}:${port}/${streamName(stream, hub.name)}${rest}`)],
      ['com.microsoft:tracking-id', string(trackingId)],
    ],
  };
}

/** The event hub of a stream. */
export function streamName(stream: RedirectAddress['stream'], hubName: string): string {
  return stream === 'telemetry' ? hubName : `${hubName}-monitoring`;
}
