import type { EndpointKind } from './kind.ts';

/** An address of HTTPS that takes batches of events. */
export interface WebhookEndpoint {
  readonly kind: 'webhook';
  readonly name: string;
  readonly url: string;
  readonly format: 'cloudEvents' | 'eventGrid';
  /** Sent as `Authorization: Bearer`. */
  readonly bearer?: string;
  /** Signs each request (HMAC-SHA256). */
  readonly signingKey?: string;
  /** Whether the address may be one of a private network or of this machine. */
  readonly allowPrivate: boolean;
}

export const webhookKind: EndpointKind<WebhookEndpoint> = {
  secrets: ['bearer', 'signingKey'],
  sentTo: ['url'],
  read(fields, name) {
    const url = fields.text('url', { charsMax: 2048 });
    if (!URL.canParse(url)) fields.fail('url', 'it is no address.');
    const format = fields.oneOf('format', ['cloudEvents', 'eventGrid'], 'cloudEvents');
    const bearer = fields.optionalText('bearer');
    const signingKey = fields.optionalText('signingKey');
    return {
      ...{ kind: 'webhook', name, url, format, allowPrivate: fields.flag('allowPrivate', false) },
      ...(bearer !== undefined && { bearer }),
      ...(signingKey !== undefined && { signingKey }),
    };
  },
};
