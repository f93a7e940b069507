import { limits } from '../../../base/limits.ts';
import type { ObjectStore, Usage } from '../../../core/files/object-store.ts';
import { type CheckResult, fine, type HealthCheck } from './health.ts';

export interface FilesCheckParts {
  readonly store: Pick<ObjectStore, 'kind' | 'direct' | 'check' | 'usage' | 'freeBytes'>;
  /** As devices see it. */
  hostName(): string;
  readonly filesBytesMax: number;
}

/** Share of what files may take from which it is told. */
const USED_SHARE_WARN = 0.9;

/** Whether devices can go on uploading: the store answers, there is room, and the storage libraries can name this hub. */
export function filesCheck({ store, hostName, filesBytesMax }: FilesCheckParts): HealthCheck {
  return {
    name: 'files',
    keptMs: limits.healthProbeKeptMs,
    async look() {
      let usage: Usage | undefined;
      try {
        await store.check();
        usage = await store.usage('');
        const free = await store.freeBytes();
        if (free === 0) return { status: 'warn', reason: 'the disk of files is full', remedy: roomRemedy };
      } catch (error) {
        const reason = `the store of files (${store.kind}) cannot be used: ${(error as Error).message}`;
        return { status: 'warn', reason, remedy: remedies[store.kind] ?? remedies.folder };
      }
      // The account's own name is in URLs of uploads then.
      const trap = store.direct === undefined ? portTrap(hostName()) : undefined;
      return fullness(usage, filesBytesMax) ?? trap ?? fine;
    },
  };
}

const remedies: Readonly<Record<string, string>> = {
  folder: 'See that filesFolder is there and can be written by the hub.',
  azure:
    'See that the account can be reached from here, and that filesAzureConnectionString holds a key that is still good.',
  s3: 'See that filesS3Endpoint can be reached from here, and that the bucket is there and the key still good.',
};

const roomRemedy = 'Remove files that nobody needs (mooring file list, mooring file delete), or raise filesBytesMax.';

function fullness(usage: Usage | undefined, filesBytesMax: number): CheckResult | undefined {
  if (usage === undefined || usage.bytes < filesBytesMax * USED_SHARE_WARN) return undefined;
  const share = Math.floor((100 * usage.bytes) / filesBytesMax);
  return { status: 'warn', reason: `files take ${share} % of what filesBytesMax allows`, remedy: roomRemedy };
}

/** Java's storage library reads the path of a URL with a port in another way, and finds no blob in it (files reference 0.1). */
function portTrap(hostName: string): CheckResult | undefined {
  if (!/:\d+$/.test(hostName)) return undefined;
  return {
    status: 'ok',
    reason: `files are reached at ${hostName}: devices with the storage library of Java take no port`,
    remedy: 'Let the hub have port 443 (httpsPort), or name in filesHostName a host whose port 443 leads to it.',
  };
}
