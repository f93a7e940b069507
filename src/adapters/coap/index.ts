/** The adapter `coap`: devices that speak CoAP (RFC 7252) over UDP, TCP, TLS or DTLS. What a device does: `docs/coap.md`. */
import type { AdapterDefinition } from '../../gateway/index.ts';
import { CoapAdapter } from './adapter.ts';
import { type Settings, settingsSchema } from './settings.ts';

const coap: AdapterDefinition<Settings> = {
  name: 'coap',
  apiVersion: 1,
  summary: 'CoAP over UDP, TCP and TLS: telemetry, commands, methods and twins; protected by OSCORE, TLS or DTLS',
  settings: settingsSchema,
  create: (host, settings) => new CoapAdapter(host, settings),
};

export default coap;
