/** Servers that carry direct methods from HTTPS to devices over MQTT: the hub, and a bridge over Mosquitto. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TopicLogin } from '../load/topic-device.ts';
import { cpuSeconds } from '../process-facts.ts';
import { makeCertificate } from './certificate.ts';
import { hubAt, ownerToken, type RunningHub } from './hub.ts';
import { mosquitto } from './mosquitto.ts';
import { freePort, startProgram, stopProgram } from './server.ts';

export interface MethodServer {
  readonly httpsPort: number;
  readonly ca: string;
  /** Header lines of each request, each with its end. */
  readonly head: string;
  readonly mqttPort: number;
  readonly logins: readonly TopicLogin[];
  /** Where a device hears of calls, and where its answers go. */
  filterOf(id: string): string;
  readonly responseTopic: string;
  cpuSeconds(): number;
  stop(): Promise<void>;
}

export interface MethodServerKind {
  readonly name: string;
  start(devices: number, directory: string): Promise<MethodServer>;
}

/** The hub of a checkout. */
export function hubWithMethods(name: string, checkout: string, flags: readonly string[] = []): MethodServerKind {
  return {
    name,
    async start(connections, directory) {
      const hub = (await hubAt(name, checkout, flags).start({
        connections,
        tls: false,
        directory,
        bag: '',
      })) as RunningHub;
      return {
        httpsPort: hub.endpoints.ports.https as number,
        ca: hub.caText,
        head: `Authorization: ${ownerToken(hub.endpoints)}\r\nContent-Type: application/json\r\n`,
        mqttPort: hub.port,
        logins: hub.logins,
        filterOf: () => '$iothub/methods/POST/#',
        responseTopic: '$iothub/methods/res',
        cpuSeconds: () => cpuSeconds(hub.pid),
        stop: () => hub.stop(),
      };
    },
  };
}

export const bridge: MethodServerKind = {
  name: 'bridge over mosquitto',
  async start(connections, directory) {
    const broker = await mosquitto.start({ connections, tls: false, directory, bag: '' });
    const { certificate, key } = await makeCertificate();
    const files = ['server.crt', 'server.key'].map((name) => path.join(directory, name));
    writeFileSync(files[0], certificate);
    writeFileSync(files[1], key, { mode: 0o600 });
    const httpsPort = await freePort();
    const program = path.join(import.meta.dirname, 'method-bridge.ts');
    const args = [program, String(httpsPort), String(broker.port), ...files];
    const { child } = await startProgram(process.execPath, args, /^ready$/m, 10_000);
    return {
      httpsPort,
      ca: certificate,
      head: 'Content-Type: application/json\r\n',
      mqttPort: broker.port,
      logins: broker.logins,
      filterOf: (id) => `methods/${id}/POST/#`,
      responseTopic: 'methods/res',
      cpuSeconds: () => cpuSeconds(child.pid as number) + cpuSeconds(broker.pid),
      async stop() {
        await stopProgram(child);
        await broker.stop();
      },
    };
  },
};
