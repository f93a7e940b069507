import { limits } from '../../../base/limits.ts';
import type { EndpointKind } from './kind.ts';

/** Files of events in a store of objects. */
export interface ArchiveEndpoint {
  readonly kind: 'archive';
  readonly name: string;
  readonly format: 'parquet' | 'avro' | 'avrodeflate' | 'json';
  /** Folders by date and hour as Hive has them, or those of the service's storage endpoints. */
  readonly naming: 'hive' | 'service';
  /** Before all names of files. */
  readonly prefix: string;
  /** A file is cut when so many bytes of the log wait for it, or the oldest event has waited so long. */
  readonly fileBytes: number;
  readonly fileSeconds: number;
  /** `folder`: below the hub's setting `archiveFolder`. */
  readonly store: 'folder' | 'azure' | 's3';
  readonly connectionString?: string;
  readonly container?: string;
  readonly s3Endpoint?: string;
  readonly bucket?: string;
  readonly region?: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly pathStyle?: boolean;
}

export const archiveKind: EndpointKind<ArchiveEndpoint> = {
  secrets: ['connectionString', 'secretAccessKey'],
  sentTo: ['s3Endpoint', 'bucket', 'accessKeyId'],
  read(fields, name) {
    const prefix = fields.text('prefix', { default: name, charsMax: limits.archivePrefixCharsMax });
    const isPath = prefix.split('/').every((part) => /^[A-Za-z0-9_=-][A-Za-z0-9._=-]*$/.test(part));
    if (!isPath)
      fields.fail('prefix', "it has parts of letters, digits, '.', '_', '=' and '-', with '/' between them.");
    const common = {
      ...{ kind: 'archive' as const, name, prefix },
      format: fields.oneOf('format', ['parquet', 'avro', 'avrodeflate', 'json'], 'parquet'),
      naming: fields.oneOf('naming', ['hive', 'service'], 'hive'),
      fileBytes: fields.integer('fileBytes', {
        ...{
          min: limits.archiveFileBytesMin,
          max: limits.archiveFileBytesMax,
          default: limits.archiveFileBytesDefault,
        },
      }),
      fileSeconds: fields.integer('fileSeconds', {
        ...{ min: 1, max: limits.archiveFileSecondsMax, default: limits.archiveFileSecondsDefault },
      }),
      store: fields.oneOf('store', ['folder', 'azure', 's3'], 'folder'),
    };
    if (common.store === 'azure') {
      const connectionString = fields.text('connectionString', { charsMax: 2048 });
      return { ...common, connectionString, container: fields.text('container', { charsMax: 63 }) };
    }
    if (common.store === 's3') {
      const s3Endpoint = fields.text('s3Endpoint', { charsMax: 2048 });
      const isPlain = /^http:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?\/?$/.test(s3Endpoint);
      if (!(isPlain || /^https:\/\/[^/]+\/?$/.test(s3Endpoint)) || !URL.canParse(s3Endpoint)) {
        fields.fail(
          's3Endpoint',
          'it is no address of https (http on loopback only) without a path, as https://s3.eu-central-1.amazonaws.com.',
        );
      }
      return {
        ...common,
        s3Endpoint,
        bucket: fields.text('bucket', { charsMax: 63 }),
        region: fields.text('region', { default: 'us-east-1', charsMax: 64 }),
        accessKeyId: fields.text('accessKeyId', { charsMax: 256 }),
        secretAccessKey: fields.text('secretAccessKey', { charsMax: 1024 }),
        pathStyle: fields.flag('pathStyle', false),
      };
    }
    return common;
  },
};

/**
 * The archive among `others` into whose folder of files this one would write, or that would write into its folder: they would replace each other's
 * files, or a reader of one would find events twice. Undefined = none.
 */
export function sharesFiles(archive: ArchiveEndpoint, others: readonly ArchiveEndpoint[]): ArchiveEndpoint | undefined {
  const below = (a: ArchiveEndpoint, b: ArchiveEndpoint): boolean => `${foldedOf(a)}/`.startsWith(`${foldedOf(b)}/`);
  return others.find(
    (other) => storeOf(other) === storeOf(archive) && (below(archive, other) || below(other, archive)),
  );
}

/** Some disks know a name in any case. */
const foldedOf = ({ prefix }: ArchiveEndpoint): string => prefix.toLowerCase();

/** What is the same for archives that write into one place. */
function storeOf({ store, connectionString = '', container, s3Endpoint, bucket }: ArchiveEndpoint): string {
  const account = /(?:^|;)\s*AccountName=([^;]*)/i.exec(connectionString)?.[1].trim();
  const host = s3Endpoint && new URL(s3Endpoint).host;
  return JSON.stringify([store, account, container, host, bucket]);
}
