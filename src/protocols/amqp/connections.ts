import type { Duplex } from 'node:stream';
import { limits } from '../../base/limits.ts';
import { Shares } from '../../base/shares.ts';
import type { Hub } from '../../core/hub.ts';
import type { PeerCertificate } from '../../core/identity/types.ts';
import { DeliveryTurns } from './back-ends/delivery-turns.ts';
import type { AmqpOrigin } from './devices/attached-device.ts';
import { UnprovedBytes } from './engine/kept-bytes.ts';
import { Pulse } from './engine/pulse.ts';
import { AmqpPeer } from './peer.ts';

/** Where a stream comes from. */
export interface Origin extends AmqpOrigin {
  /** The client certificate of the TLS layer; asked for when a link of a device comes without a token. */
  certificate?(): PeerCertificate | undefined;
  /** A client has proved who it is. */
  proved?(by?: string): void;
}

/** All AMQP connections of one door, over whatever kind of byte stream they come. */
export interface AmqpConnections {
  /** Serves one stream of bytes, which it owns from here. */
  accept(stream: Duplex, origin: Origin): void;
  count(): number;
  /** Says that the hub stops, and ends every connection, after `withinMs` at the latest. */
  drain(withinMs?: number): Promise<void>;
}

/** Of all doors of this thread. */
const unprovedBytes = new UnprovedBytes();

/**
 * @param redirectPort port of the AMQP door with TLS, where old clients are sent
 * @param turns of all readers of this thread; absent = this door's readers have them to themselves
 */
export function amqpConnections(
  hub: Hub,
  redirectPort: () => number,
  turns: DeliveryTurns = new DeliveryTurns(hub.clock),
): AmqpConnections {
  const open = new Map<Duplex, AmqpPeer>();
  const pulse = new Pulse(hub.clock);
  const takes = new Shares({ max: limits.tableQueueMax / 4, perKeyMax: limits.amqpTakesPerPolicyMax });
  const commandBytes = new Shares({
    max: limits.amqpCommandsBytesMax,
    perKeyMax: limits.amqpCommandsBytesPerPolicyMax,
    reserve: limits.amqpCommandsBytesMax / 4,
    reservedPerKey: limits.commandBytesMax,
  });
  const log = hub.log.child({ protocol: 'amqp' });
  let isDraining = false;
  let whenEmpty: () => void = () => {};
  return {
    accept(stream, { protocol, peer, certificate, proved }) {
      if (isDraining) {
        stream.destroy();
        return;
      }
      const served = new AmqpPeer(hub, stream, {
        origin: { protocol, peer },
        certificate: () => certificate?.(),
        proved: (by) => proved?.(by),
        redirectPort: redirectPort(),
        log,
        pulse,
        turns,
        takes,
        commandBytes,
        unproved: unprovedBytes,
        closed() {
          open.delete(stream);
          if (open.size === 0) whenEmpty();
        },
      });
      open.set(stream, served);
    },
    count: () => open.size,
    async drain(withinMs: number = limits.drainMs) {
      isDraining = true;
      if (open.size > 0) {
        const emptied = new Promise<void>((resolve) => {
          whenEmpty = resolve;
        });
        for (const served of open.values()) {
          served.drain({ condition: 'amqp:connection:forced', description: 'The hub is stopping.' }, 'hub-stopping');
        }
        const cancel = hub.clock.after(withinMs, () => {
          for (const stream of open.keys()) stream.destroy();
        });
        await emptied;
        cancel();
      }
      pulse.stop();
    },
  };
}
