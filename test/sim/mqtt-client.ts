import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet';
import type { HubHost } from './hub-host.ts';
import type { Doors } from './members.ts';
import { Connection } from './network.ts';
import type { World } from './world.ts';

export interface ClientEvents {
  packet(packet: Packet): void;
  closed(): void;
}

/** One MQTT connection of a device, in the words of a codec that is not the hub's. */
export class MqttClient {
  readonly connection: Connection;
  /** Set by the CONNACK. */
  accepted = false;
  /** Messages whose PUBACK is due, oldest first. */
  readonly unacknowledged: { readonly packetId: number; readonly name: string }[] = [];

  /** Opens a connection to the hub that runs now; undefined when none does. */
  static open(world: World, host: HubHost, name: string, events: ClientEvents): MqttClient | undefined {
    const doors = host.running?.doors(name);
    return doors && new MqttClient(world, doors, name, events);
  }

  private constructor(world: World, doors: Doors, name: string, events: ClientEvents) {
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => events.packet(packet));
    parser.on('error', (error) => world.find(`${name} received what is not MQTT: ${error.message}`));
    this.connection = new Connection(world.scheduler, world.dice(name), doors.life, {
      bytes: (chunk) => void parser.parse(chunk),
      closed: () => events.closed(),
    });
    world.counters.connections++;
    doors.mqtt.accept(this.connection.hubEnd, { protocol: 'mqtt', peer: '127.0.0.1' });
  }

  send(packet: Packet): void {
    this.connection.send(mqttPacket.generate(packet));
  }
}

export function connectPacket(fields: Partial<IConnectPacket> & { readonly clientId: string }): IConnectPacket {
  return { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: false, keepalive: 30, ...fields };
}
