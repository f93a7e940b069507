/** What the operator may set. */
import { z } from '../../gateway/index.ts';

const port = z.number().int().min(0).max(65_535);

/** An address that the listener is opened on. */
const listener = z.object({ port, host: z.string().min(1).default('127.0.0.1') });

/** Datagrams that are read in a second; more are dropped. Those of an address are of all devices behind one translator. */
const datagramListener = listener.extend({
  datagramsPerSecondMax: z.number().int().min(1).optional(),
  datagramsPerAddressPerSecondMax: z.number().int().min(1).optional(),
});

export const settingsSchema = z
  .object({
    udp: datagramListener
      .extend({
        oscore: z.boolean().default(true).describe('Requests may be protected by OSCORE (RFC 8613)'),
        plain: z
          .boolean()
          .optional()
          .describe(
            'Requests without protection, with a key or token in their query. Absent = on loopback addresses only',
          ),
        echo: z
          .boolean()
          .default(false)
          .describe(
            'Requests without protection show first that their address is their own (RFC 9175): clients must know Echo',
          ),
      })
      .optional()
      .describe('coap:// over UDP'),
    tcp: listener
      .optional()
      .describe('coap+tcp:// (RFC 8323) without TLS: on loopback, or where the network is trusted'),
    tls: listener
      .extend({
        certificateFile: z.string().optional(),
        keyFile: z.string().optional(),
        clientCertificates: z.boolean().default(true),
        sharedKeys: z.boolean().default(true),
      })
      .optional()
      .describe(
        'coaps+tcp:// (RFC 8323): certificates, pre-shared keys (TLS 1.2), or a key or token in the first request',
      ),
    dtls: datagramListener
      .extend({ experimental: z.literal(true).describe('Must be there: DTLS is experimental') })
      .optional()
      .describe('coaps:// over UDP: DTLS 1.2 with pre-shared keys. Experimental'),
    acknowledge: z
      .enum(['stored', 'hub'])
      .default('stored')
      .describe('When telemetry is answered: on a disk of the host, or on that of the hub'),
    idleSeconds: z
      .number()
      .int()
      .min(10)
      .max(86_400)
      .default(300)
      .describe('After this silence a device counts as gone'),
  })
  .strict();

export type Settings = z.output<typeof settingsSchema>;

const loopback = /^(127\.|::1$|localhost$)/;

/** True = requests may come without protection. */
export const isPlainAllowed = (listener: { readonly host: string; readonly plain?: boolean | undefined }): boolean =>
  listener.plain ?? loopback.test(listener.host);
