import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type EventLogTestOptions, eventLogContract, type OpenedEventLog } from '../../contract/event-log.ts';
import { openEmbeddedEventLog } from './event-log.ts';

eventLogContract({
  name: 'embedded event log',
  async open(options) {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mooring-event-log-'));
    return openIn(folder, options);
  },
});

async function openIn(folder: string, options: EventLogTestOptions): Promise<OpenedEventLog> {
  const log = await openEmbeddedEventLog({ ...options, folder, name: 'hub', partitionCount: 3 });
  return {
    log,
    retain: () => log.retain(),
    async reopen() {
      await log.close();
      return openIn(folder, options);
    },
    async close() {
      await log.close();
      await fs.rm(folder, { recursive: true });
    },
  };
}
