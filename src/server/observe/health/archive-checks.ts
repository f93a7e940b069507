import type { ArchiveStatus } from '../../../core/archive/types.ts';
import { fine, type HealthCheck } from './health.ts';

export interface ArchivesCheckParts {
  /** Status undefined = the archive could not be opened. */
  known(): readonly { readonly name: string; readonly status: ArchiveStatus | undefined }[];
  /** How long the event hub keeps an event, in seconds. */
  readonly retentionSeconds: number;
}

/** Share of the time that the event hub keeps an event, from which on an archive's lag is told. */
const LAG_SHARE_WARN = 0.25;

/** Whether archives take events, and are far from losing some to retention. */
export function archivesCheck({ known, retentionSeconds }: ArchivesCheckParts): HealthCheck {
  return {
    name: 'archive',
    async look() {
      for (const { name, status } of known()) {
        if (status === undefined) {
          return {
            status: 'warn',
            reason: `the archive ${name} could not be opened`,
            remedy: "See the hub's log for the reason, and change the endpoint.",
          };
        }
        if (status.lagSeconds > retentionSeconds * LAG_SHARE_WARN) {
          const hours = Math.round(status.lagSeconds / 360) / 10;
          return {
            status: 'warn',
            reason: `the archive ${name} is ${hours} hours behind, and the event hub keeps events for ${Math.round(retentionSeconds / 3600)} hours`,
            remedy:
              'See that its store can be reached and is fast enough; raise retentionDays, or set retentionWaitsForArchive.',
          };
        }
        if (status.state === 'degraded') {
          return {
            status: 'warn',
            reason: `the archive ${name} does not take events: ${status.reason}`,
            remedy:
              'See that its store can be reached, has room, and that its key is still good. Events wait in the event hub.',
          };
        }
      }
      const lost = known().find(({ status }) => status !== undefined && status.totals.missed > 0);
      if (lost === undefined) return fine;
      return {
        status: 'warn',
        reason: `${lost.status?.totals.missed} events for the archive ${lost.name} were removed by retention before it had them`,
        remedy: 'Raise retentionDays or retentionBytes, or set retentionWaitsForArchive.',
      };
    },
  };
}
