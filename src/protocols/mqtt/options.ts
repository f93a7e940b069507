import type { ConnectionGate } from '../shared/connection-gate.ts';
import type { ListenerOptions, TlsSource } from '../shared/listener.ts';

export interface MqttDoorOptions {
  /** The setting's name, for messages: `mqttsPort` or `mqttPort`. */
  readonly name: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly addresses: readonly string[];
  /** Absent = plain TCP, for a port that was asked for by name. */
  readonly tls?: TlsSource;
  /** See `ListenerOptions`. */
  readonly reusePort?: boolean;
  /** See `ListenerOptions`. */
  readonly gate?: ConnectionGate;
  /** See `ListenerOptions`. */
  readonly failed?: ListenerOptions['failed'];
}
