/** Settings of archives of events and of history; part of the one schema (`config.ts`). */
import { limits } from '../../base/limits.ts';
import { flag, list, text } from './config-kinds.ts';
import type { Documented } from './file-store-settings.ts';

export function archiveSettings(documented: Documented, groupPattern: RegExp) {
  return {
    archiveFolder: documented(text(/[^\s]/).optional(), {
      topic: 'Events',
      meaning:
        'Folder of archives whose store is `folder` (`docs/archive.md`): each has a folder of its own in it, named by its prefix.',
      otherwise: '`<data-dir>/archive`',
      form: 'a path',
    }),
    historyGroups: documented(list(groupPattern).default([]), {
      topic: 'Events',
      meaning:
        'Consumer groups of the telemetry event hub whose readers also get what the event hub does not keep any more, from an archive.',
      form: `names of 1 to ${limits.consumerGroupCharsMax} letters, digits, dots, hyphens and underscores, separated by commas`,
    }),
    historyArchive: documented(text(/^[A-Za-z0-9._-]{1,64}$/).optional(), {
      topic: 'Events',
      meaning: 'The archive that history is read from. Its form is Parquet, and it should have every event.',
      otherwise: 'the only archive of this form; with several, there is no history',
      form: 'the name of an endpoint',
    }),
    retentionWaitsForArchive: documented(flag().default(false), {
      topic: 'Events',
      meaning:
        'Whether events that an archive is to have and has not yet are kept beyond `retentionDays`. `retentionBytes` holds all the same, so that ' +
        'the disk does not fill up, and may not be `off`. For `storage` `embedded`.',
      form: 'on or off',
    }),
  };
}
