import { limits } from '../../../base/limits.ts';
import type { EndpointKind } from './kind.ts';

/** A topic of Kafka: key = device id, value = body, headers = properties. */
export interface KafkaEndpoint {
  readonly kind: 'kafka';
  readonly name: string;
  /** `host:port`, one or more: where the cluster is first asked. */
  readonly brokers: readonly string[];
  readonly topic: string;
  /** TLS to the brokers. */
  readonly tls: boolean;
  /** Certificates in PEM that the brokers' are checked against; absent = those of the system. */
  readonly certificateAuthority?: string;
  /** SASL; absent = none. */
  readonly mechanism: 'none' | 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly user?: string;
  readonly password?: string;
}

export const kafkaKind: EndpointKind<KafkaEndpoint> = {
  secrets: ['password'],
  sentTo: ['brokers', 'tls', 'certificateAuthority', 'mechanism'],
  read(fields, name) {
    const brokers = fields.texts('brokers', 16);
    if (brokers.length === 0) fields.fail('brokers', 'it names at least one broker, as host:port.');
    for (const broker of brokers) {
      if (!/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(broker)) {
        fields.fail('brokers', `'${broker.slice(0, limits.routeNameCharsMax)}' is no host:port.`);
      }
    }
    const topic = fields.text('topic', { charsMax: 249 });
    if (!/^[A-Za-z0-9._-]+$/.test(topic)) fields.fail('topic', "it has letters, digits, '.', '-' and '_'.");
    const tls = fields.flag('tls', false);
    const certificateAuthority = fields.optionalText('certificateAuthority');
    const mechanism = fields.oneOf('mechanism', ['none', 'plain', 'scram-sha-256', 'scram-sha-512'], 'none');
    const user = fields.optionalText('user');
    const password = fields.optionalText('password');
    if (mechanism !== 'none' && (user === undefined || password === undefined)) {
      fields.fail('mechanism', `${mechanism} needs user and password.`);
    }
    return {
      ...{ kind: 'kafka', name, brokers, topic, tls, mechanism },
      ...(certificateAuthority !== undefined && { certificateAuthority }),
      ...(user !== undefined && { user }),
      ...(password !== undefined && { password }),
    };
  },
};
