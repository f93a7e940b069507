import { limits } from '../../../base/limits.ts';
import type { EndpointKind } from './kind.ts';

/** An address of HTTPS that takes batches of events. */
export interface WebhookEndpoint {
  readonly kind: 'webhook';
  readonly name: string;
  readonly url: string;
  readonly format: 'cloudEvents' | 'eventGrid';
  /** Sent as `Authorization: Bearer`. */
  readonly bearer?: string;
  /** Signs each request, as Standard Webhooks say: base64, with or without `whsec_` before it. */
  readonly signingKey?: string;
  /** Certificates in PEM that the receiver's is checked against; absent = those of the system. */
  readonly certificateAuthority?: string;
  /** How many requests, with events of different partitions, it takes at a time. */
  readonly inFlight: number;
  /** Events in one request, at most. */
  readonly eventsPerRequest: number;
}

export const webhookKind: EndpointKind<WebhookEndpoint> = {
  secrets: ['bearer', 'signingKey'],
  sentTo: ['url'],
  read(fields, name) {
    const url = fields.text('url', { charsMax: 2048 });
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !['https:', 'http:'].includes(parsed.protocol)) {
      return fields.fail('url', 'it is no address, as https://host/path.');
    }
    if (parsed.username !== '' || parsed.password !== '')
      fields.fail('url', 'it holds a user or password: use `bearer`.');
    const format = fields.oneOf('format', ['cloudEvents', 'eventGrid'], 'cloudEvents');
    const bearer = fields.optionalText('bearer');
    if (bearer !== undefined && !/^[A-Za-z0-9\-._~+/]+=*$/.test(bearer)) {
      fields.fail('bearer', 'it holds a character that a bearer token cannot have (RFC 6750, 2.1).');
    }
    const signingKey = fields.optionalText('signingKey');
    if (signingKey !== undefined && !isSigningKey(signingKey)) {
      fields.fail('signingKey', 'it must be 16 to 256 bytes in base64, with or without whsec_ before it.');
    }
    const certificateAuthority = fields.optionalText('certificateAuthority');
    const inFlight = fields.integer('inFlight', { min: 1, max: limits.webhookConnectionsMax, default: 8 });
    const eventsPerRequest = fields.integer('eventsPerRequest', {
      min: 1,
      max: limits.deliveryBatchRecords,
      default: 100,
    });
    return {
      ...{ kind: 'webhook', name, url, format, inFlight, eventsPerRequest },
      ...(certificateAuthority !== undefined && { certificateAuthority }),
      ...(bearer !== undefined && { bearer }),
      ...(signingKey !== undefined && { signingKey }),
    };
  },
};

function isSigningKey(text: string): boolean {
  const bare = text.replace(/^whsec_/, '');
  const bytes = Buffer.from(bare, 'base64').length;
  return /^[A-Za-z0-9+/]+={0,2}$/.test(bare) && bytes >= 16 && bytes <= 256;
}
