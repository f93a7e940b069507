import type { LogFields } from '../../base/log.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import type { DeviceReceiver } from '../../core/devices/types.ts';
import type { Hub } from '../../core/hub.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import type { ConnectPacket } from '../../wire/mqtt/packets.ts';
import type { Grants } from './addresses.ts';
import type { ConnectTraits, Entered } from './handshake.ts';
import type { Link } from './link.ts';
import type { TwinWire } from './twin-wire.ts';
import type { Uplink } from './uplink.ts';

/** What the handlers of packets (`connecting.ts`, `publishing.ts`, `subscribing.ts`) need of the connection. */
export interface HandledConnection extends DeviceReceiver {
  readonly hub: Hub;
  readonly link: Link;
  readonly closed: boolean;
  /** From the CONNECT on. */
  readonly device: DeviceConnection;
  readonly isPersistent: boolean;
  readonly grants: Grants;
  readonly uplink: Uplink | undefined;
  readonly twin: TwinWire;
  /** Without making it. */
  readonly twinIfAny: TwinWire | undefined;
  /** What the device may send. @throws HubError IotHubUnauthorizedAccess */
  openUplink(): Uplink;
  write(bytes: Buffer): void;
  /** What was taken has cost as much as so many small packets more. */
  worked(packets: number): void;
  /** Takes no packets, for a reason of `holds`, until that is released. */
  hold(reason: number): void;
  release(reason: number): void;
  /** The device has proved who it is; what only the CONNECT needed goes. */
  proved(device: DeviceConnection, traits: ConnectTraits): void;
  /** The device has its place and its session: it is told so, and read. */
  accept(entered: Entered, packet: ConnectPacket): void;
  /** What grants need before the device is told of them; undefined = nothing. Never rejects; the connection may be closed by then. */
  preparing(grants: Grants): Promise<void> | undefined;
  /** What the device hears from here on. The answer goes first: SDKs resolve a subscription by it (device reference 2.8). */
  grant(grants: Grants, answer: Buffer): void;
  /** For the log. */
  facts(): LogFields;
  /** Closes for something that the peer or the store did wrong, and says to the log what it was. */
  fail(reason: DisconnectReason, fields: LogFields): void;
  /** The one way out. @param how `end` lets what was written leave first. */
  close(reason: DisconnectReason, how?: 'end' | 'destroy', detail?: string): void;
}
