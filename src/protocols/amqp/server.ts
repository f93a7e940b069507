import type { Duplex } from 'node:stream';
import { limits } from '../../base/limits.ts';
import type { Hub } from '../../core/hub.ts';
import type { Door } from '../shared/door.ts';
import { listen, type TlsSource } from '../shared/listener.ts';
import { AmqpPeer } from './peer.ts';

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
  /** Port to which old clients are redirected; absent = this door's own. */
  readonly redirectPort?: number;
}

/** One AMQP conversation, over a socket or a WebSocket. */
export interface AmqpConversation {
  /** Says that the hub stops, and ends. */
  close(): void;
}

/**
 * Serves one byte stream, which it owns from here, until either side ends it.
 * @param options.peer address of the other side, for the log
 * @param options.redirectPort port of the AMQP door with TLS
 */
export function acceptAmqp(
  hub: Hub,
  stream: Duplex,
  options: { readonly peer: string; readonly redirectPort: number; closed?(): void },
): AmqpConversation {
  const peer = new AmqpPeer(hub, stream, {
    peer: options.peer,
    redirectPort: options.redirectPort,
    log: hub.log.child({ protocol: 'amqp' }),
    closed: () => options.closed?.(),
  });
  return {
    close: () => peer.close({ condition: 'amqp:connection:forced', description: 'The hub is stopping.' }),
  };
}

/** Opens a port for AMQP 1.0: with TLS 5671, plain 5672. @throws Error whose message says what to do. */
export async function openAmqpDoor(hub: Hub, options: AmqpDoorOptions): Promise<Door> {
  const open = new Map<Duplex, AmqpConversation>();
  let whenEmpty: () => void = () => {};
  let port = 0;
  const listener = await listen({
    name: options.name,
    port: options.port,
    addresses: options.addresses,
    tls: options.tls,
    reusePort: options.reusePort,
    log: hub.log,
    accept(socket) {
      const conversation = acceptAmqp(hub, socket, {
        peer: socket.remoteAddress ?? '',
        redirectPort: options.redirectPort ?? port,
        closed() {
          open.delete(socket);
          if (open.size === 0) whenEmpty();
        },
      });
      open.set(socket, conversation);
    },
  });
  port = listener.port;
  return {
    port,
    connections: () => open.size,
    stopAccepting: () => listener.close(),
    async drain() {
      if (open.size === 0) return;
      const emptied = new Promise<void>((resolve) => {
        whenEmpty = resolve;
      });
      for (const conversation of open.values()) conversation.close();
      const cancel = hub.clock.after(limits.drainMs, () => {
        for (const stream of open.keys()) stream.destroy();
      });
      await emptied;
      cancel();
    },
  };
}
