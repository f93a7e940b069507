import type { Hub } from '../../core/hub.ts';
import type { ConnectionGate } from '../shared/connection-gate.ts';
import type { Door } from '../shared/door.ts';
import { type ListenerOptions, listen, type TlsSource } from '../shared/listener.ts';
import { peerCertificate } from '../shared/peer-certificate.ts';
import type { DeliveryTurns } from './back-ends/delivery-turns.ts';
import { amqpConnections } from './connections.ts';

export interface AmqpDoorOptions {
  /** For the log and for messages: the setting's name, `amqpsPort` or `amqpPort`. */
  readonly name: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly addresses: readonly string[];
  /** Absent = plain TCP, for loopback. */
  readonly tls?: TlsSource;
  /** See `ListenerOptions`. */
  readonly reusePort?: boolean;
  /** See `ListenerOptions`. */
  readonly gate?: ConnectionGate;
  /** See `ListenerOptions`. */
  readonly failed?: ListenerOptions['failed'];
  /** Port to which old clients are redirected; absent = this door's own. */
  readonly redirectPort?: number;
  /** Of all readers of this thread. */
  readonly turns?: DeliveryTurns;
}

/** Opens a port for AMQP 1.0: with TLS 5671, plain 5672. @throws Error whose message says what to do. */
export async function openAmqpDoor(hub: Hub, options: AmqpDoorOptions): Promise<Door> {
  let port = 0;
  const connections = amqpConnections(hub, () => options.redirectPort ?? port, options.turns);
  const listener = await listen({
    name: options.name,
    port: options.port,
    addresses: options.addresses,
    tls: options.tls,
    reusePort: options.reusePort,
    log: hub.log,
    gate: options.gate,
    failed: options.failed,
    accept: (socket, proved, peer) =>
      connections.accept(socket, {
        protocol: 'amqp',
        peer,
        certificate: () => peerCertificate(socket),
        proved,
      }),
  });
  port = listener.port;
  return {
    port,
    connections: () => connections.count(),
    stopAccepting: () => listener.close(),
    drain: (withinMs) => connections.drain(withinMs),
  };
}
