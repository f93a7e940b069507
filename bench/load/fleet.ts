/** A fleet that is written into the stores themselves: a hundred thousand devices over REST would take longer than what is measured. */
import type { Identity } from '../../src/core/identity/types.ts';
import { readReportedPatch, readTwinChange } from '../../src/core/twins/rules.ts';
import type { TableStores } from '../../src/stores/tables/stores.ts';

const BATCH = 250;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const idOf = (at: number): string => `device-${String(at).padStart(8, '0')}`;

/** Devices with twins of 1 KB: tags `site` (500 of them) and `room`, desired and reported properties. */
export async function fillFleet(tables: Pick<TableStores, 'identities' | 'twins'>, devices: number): Promise<void> {
  const text = 'x'.repeat(300);
  for (let from = 0; from < devices; from += BATCH) {
    const places = Array.from({ length: Math.min(BATCH, devices - from) }, (_, at) => from + at);
    const writes = places.map((at) => ({ kind: 'create' as const, identity: identityOf(idOf(at)), countMax: devices }));
    await tables.identities.write(writes);
    await Promise.all(
      places.map((at) => {
        const tags = { site: `site-${at % 500}`, room: at % 5000, text };
        const change = readTwinChange(json({ tags, properties: { desired: { interval: 10, mode: 'auto' } } }), 'merge');
        return tables.twins.change({ deviceId: idOf(at) }, change, { ifMatch: '*', time: 1, withEvents: false });
      }),
    );
    // With a version it goes into the document at once.
    const patch = (at: number) =>
      json({ battery: at % 100, state: at % 50 === 0 ? 'failed' : 'ok', firmware: `1.${at % 20}`, text });
    await tables.twins.report(
      places.map((at) => ({ key: { deviceId: idOf(at) }, generationId: 'g', patch: readReportedPatch(patch(at), 1) })),
      { time: 2, withEvents: false },
    );
  }
}

/** What each device has reported already, behind its document: so that the SQL over documents still says the same. */
export async function reportAgain(tables: Pick<TableStores, 'twins'>, devices: number): Promise<void> {
  for (let from = 0; from < devices; from += BATCH) {
    const reports = Array.from({ length: Math.min(BATCH, devices - from) }, (_, at) => {
      const patch = readReportedPatch(json({ battery: (from + at) % 100 }));
      return { key: { deviceId: idOf(from + at) }, generationId: 'g', patch };
    });
    await tables.twins.report(reports, { time: 3, withEvents: false });
  }
}

const identityOf = (deviceId: string): Identity => ({
  ...{ deviceId, generationId: 'g', etag: 'e', status: 'enabled', statusReason: null, statusUpdatedTime: 0 },
  authentication: { type: 'none', symmetricKey: null, x509Thumbprint: null },
  ...{ capabilities: { iotEdge: false }, deviceScope: null, parentScopes: [], managedBy: null },
});
