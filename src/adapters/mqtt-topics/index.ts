/** MQTT devices with topics of their own: on a port of the adapter, or over a broker that is there already. `docs/mqtt-topics.md` */
import type { AdapterDefinition } from '../../gateway/index.ts';
import { createBridge } from './bridge/bridge.ts';
import { createListener } from './listener/listener.ts';
import { mappingOf, type Settings, settingsSchema } from './settings.ts';

const mqttTopics: AdapterDefinition<Settings> = {
  name: 'mqtt-topics',
  apiVersion: 1,
  summary:
    'MQTT devices with topics of their own (Tasmota, Shelly, zigbee2mqtt, ESPHome, or by rules), directly or over a broker',
  settings: settingsSchema,
  create(host, settings) {
    const mapping = mappingOf(settings);
    const { listen, bridge, idleSeconds } = settings;
    const parts = [
      ...(listen === undefined ? [] : [createListener(host, listen, mapping, idleSeconds)]),
      ...(bridge === undefined ? [] : [createBridge(host, bridge, mapping, idleSeconds)]),
    ];
    return {
      async start() {
        for (const part of parts) await part.start();
      },
      async stop(grace) {
        await Promise.all(parts.map((part) => part.stop?.(grace)));
      },
    };
  },
};

export default mqttTopics;
