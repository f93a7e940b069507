/** Where a hub keeps everything when that is not its own disk, and what is needed together. */
import { z } from 'zod';
import { flag, list, text, whole } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

const topic = 'Cluster';
/** Of `stores/kafka/sasl.ts`. */
const saslMechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
const needsCluster = 'Of `storage` `cluster`.';

export function clusterSettings(documented: Documented) {
  return {
    storage: documented(z.enum(['embedded', 'cluster']).default('embedded'), {
      topic,
      meaning:
        'Where events and everything else are kept: `embedded`, in the data folder; `cluster`, events in Apache Kafka and the rest ' +
        'in PostgreSQL, which several nodes of one hub can share. See `docs/cluster.md`.',
      form: 'embedded or cluster',
    }),
    kafkaBrokers: documented(list(/^(\[[0-9A-Fa-f:.]+\]|[^\s:/,]+):\d{1,5}$/).default([]), {
      topic,
      meaning: `Some of the brokers; the others are found by them. ${needsCluster}`,
      form: 'host:port, separated by commas',
    }),
    kafkaTopicPrefix: documented(text(/^[A-Za-z0-9._-]{0,100}$/).default(''), {
      topic,
      meaning:
        "What stands before the hub's name, and before the name of its monitoring event hub, in the names of their topics. A topic that is " +
        'not there is made; one that is there must have settings that keep what the hub promises.',
      form: 'up to 100 letters, digits, dots, underscores and hyphens',
    }),
    kafkaReplicas: documented(whole(1, 15).default(3), {
      topic,
      meaning: 'How many brokers hold each event, of topics that the hub makes.',
      form: 'a whole number from 1 to 15',
    }),
    kafkaInSyncMin: documented(whole(1, 15).default(2), {
      topic,
      meaning:
        'How many brokers must hold an event before it is acknowledged. A topic with less is refused. 1 is for a single broker, which ' +
        'loses everything with its disk.',
      form: 'a whole number from 1 to 15, at most kafkaReplicas',
    }),
    kafkaTls: documented(flag().default(false), {
      topic,
      meaning: 'Whether brokers are spoken to by TLS. Without it, names and events cross the network as they are.',
      form: 'on or off',
    }),
    kafkaCaFile: documented(text(/[^\s]/).optional(), {
      topic,
      meaning:
        "Certificate (PEM) of the authority that has issued the brokers', where it is none that everybody trusts.",
      otherwise: 'none',
      form: 'a path',
    }),
    kafkaCertFile: documented(text(/[^\s]/).optional(), {
      topic,
      meaning:
        'Certificate (PEM, with its chain) that the hub shows to brokers which ask for one, together with `kafkaKeyFile`. Of `kafkaTls`; ' +
        'read at the start.',
      otherwise: 'none',
      form: 'a path',
    }),
    kafkaKeyFile: documented(text(/[^\s]/).optional(), {
      topic,
      meaning: 'Private key of `kafkaCertFile` (PEM).',
      otherwise: 'none',
      form: 'a path',
    }),
    kafkaLogin: documented(z.enum(['off', ...saslMechanisms]).default('off'), {
      topic,
      meaning: 'How the hub logs in at the brokers, as `kafkaUser`. `PLAIN` sends the password: with `kafkaTls` only.',
      form: ['off', ...saslMechanisms].join(', ').replace(/, ([^,]*)$/, ' or $1'),
    }),
    kafkaUser: documented(text(/^[^\0\r\n]{1,256}$/).optional(), {
      topic,
      meaning:
        'User of `kafkaLogin`. It may describe, read and write the topics, describe their settings, and write idempotently; create them ' +
        'where they are not made beforehand; describe the cluster, for `mooring_event_topic_bytes`.',
      otherwise: 'none',
      form: '1 to 256 characters',
    }),
    kafkaPassword: documented(text(/^[^\0\r\n]{1,1024}$/).optional(), {
      topic,
      meaning: 'Password of `kafkaUser`.',
      otherwise: 'none',
      form: '1 to 1024 characters',
      secret: true,
    }),
    postgresUrl: documented(text(/^postgres(ql)?:\/\/[^\s]+$/).optional(), {
      topic,
      meaning: `The database, which orders texts by their bytes (\`locale 'C'\`). ${needsCluster}`,
      otherwise: 'none',
      form: 'a URL, as postgres://user:password@host:5432/mooring?sslmode=verify-full; a primary and its standbys as one:5432,two:5432',
      secret: true,
    }),
    postgresSchema: documented(text(/^[a-z_][a-z0-9_]{0,62}$/).default('mooring'), {
      topic,
      meaning: "Schema of the database that is the hub's alone. Made when missing, where the user may.",
      form: '1 to 63 small letters, digits and underscores',
    }),
    nodePort: documented(whole(0, 65_535).default(7443), {
      topic,
      meaning:
        'Port on which the other nodes of the hub reach this one, by TLS with certificates that only nodes have. It listens where the TLS ' +
        `ports do (\`bindAddress\`). ${needsCluster}`,
      form: 'a port from 0 to 65535 (0 = any free one)',
    }),
    nodeName: documented(text(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/).optional(), {
      topic,
      meaning:
        'Name of this node among those of the hub. A node that starts under the name of one that lives waits for the end of its lease, ' +
        'and is then refused.',
      otherwise: "the machine's name",
      form: '1 to 64 letters, digits and inner dots, hyphens and underscores',
    }),
    nodeAddress: documented(text(/^[A-Za-z0-9.:-]{1,253}$/).optional(), {
      topic,
      meaning: 'Host name or IP address under which the other nodes reach this one.',
      otherwise:
        'the first address of `bindAddress` that names one, else the name of the machine; `127.0.0.1` where only loopback is bound',
      form: 'a host name or an IP address',
    }),
  };
}

type ClusterSettings = Partial<z.infer<z.ZodObject<ReturnType<typeof clusterSettings>>>>;

/** What `storage` `cluster` lacks, and what does not go together. */
export function clusterProblems(settings: ClusterSettings & { readonly threads?: number }): string[] {
  if (settings.storage !== 'cluster') return [];
  const problems: string[] = [];
  if (settings.kafkaBrokers?.length === 0) problems.push('storage cluster needs kafkaBrokers.');
  if (settings.postgresUrl === undefined) problems.push('storage cluster needs postgresUrl.');
  const { kafkaReplicas = 1, kafkaInSyncMin = 1, kafkaLogin = 'off' } = settings;
  if (kafkaInSyncMin > kafkaReplicas) problems.push('kafkaInSyncMin: there are only kafkaReplicas of each event.');
  if ((settings.kafkaCertFile === undefined) !== (settings.kafkaKeyFile === undefined)) {
    problems.push('kafkaCertFile and kafkaKeyFile: give both or none.');
  }
  if (settings.kafkaTls === false && (settings.kafkaCertFile ?? settings.kafkaCaFile) !== undefined) {
    problems.push('kafkaCaFile and kafkaCertFile are of TLS: set kafkaTls, or leave them out.');
  }
  if (kafkaLogin !== 'off') {
    if (settings.kafkaUser === undefined || settings.kafkaPassword === undefined) {
      problems.push(`kafkaLogin ${kafkaLogin} needs kafkaUser and kafkaPassword.`);
    }
    if (kafkaLogin === 'PLAIN' && settings.kafkaTls === false) {
      problems.push('kafkaLogin PLAIN would show the password to the network: use kafkaTls, or a SCRAM login.');
    }
  }
  if (settings.threads !== undefined && settings.threads > 1) {
    problems.push('threads: a hub with storage cluster has one listener thread. Leave it out.');
  }
  return problems;
}
