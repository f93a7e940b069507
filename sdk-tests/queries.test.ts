/** Queries of the fleet by the service SDKs: whole twins and modules, projections, groups, pages, refusals. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { openRegistry, type Registry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';
import { type SeenTwin, TwinBackEnd, type TwinSdk, twinSdks } from './support/twins.ts';

type SeenRow = SeenTwin & { readonly deviceId: string; readonly moduleId?: string };

/** With hyphens inside a name, as Java's own tests have it. */
const KEY = 'KeyQuery3f2a9c-11';
const ids = ['query-a', 'query-b', 'query-c'];

describe('queries', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let registry: Registry;

  before(async () => {
    hub = await startStockHub();
    registry = await openRegistry(hub);
    await registry.createDevices(hub, ids);
    await using backEnd = await TwinBackEnd.start(hub, twinSdks[0]);
    for (const [at, id] of ids.entries()) {
      await backEnd.patch(id, { tags: { site: at < 2 ? 'n' : 's' }, properties: { desired: { [KEY]: at % 2 } } });
    }
  });

  after(async () => {
    await registry?.stop();
    await hub?.[Symbol.asyncDispose]();
  });

  function each(operation: string, work: (backEnd: TwinBackEnd, sdk: TwinSdk) => Promise<void>): void {
    for (const sdk of twinSdks) {
      shows({ sdk: sdk.name, transport: sdk.transport, operation }, missing(sdk.language), async () => {
        await using backEnd = await TwinBackEnd.start(hub, sdk);
        await work(backEnd, sdk);
      });
    }
  }

  each('queries twins page by page, and each as it is read by itself', async (backEnd, sdk) => {
    const text = `SELECT * FROM devices WHERE deviceId IN ['${ids.join("', '")}']`;
    for (const size of [1, 2, 100]) {
      const pages = await backEnd.query<SeenRow>(text, size, 'twins');
      if (sdk.language !== 'Java') assert.equal(pages.length, Math.ceil(ids.length / size), `pages of ${size}`);
      assert.deepEqual(
        pages.flat().map(({ deviceId }) => deviceId),
        ids,
      );
    }
    const [[twin]] = await backEnd.query<SeenRow>("select * from devices where deviceId = 'query-b'", 10, 'twins');
    const { etag, version, tags, properties } = twin;
    const own = await backEnd.get('query-b');
    assert.deepEqual(
      { etag, version, tags, properties },
      { etag: own.etag, version: own.version, tags: own.tags, properties: own.properties },
    );
    assert.deepEqual(await backEnd.query("SELECT * FROM devices WHERE tags.site = 'none'", 10, 'twins'), [[]]);
  });

  each('queries projections and groups', async (backEnd) => {
    const rows = await backEnd.query(
      "SELECT deviceId, tags.site AS place FROM devices WHERE tags.site = 's'",
      10,
      'raw',
    );
    assert.deepEqual(rows, [[{ deviceId: 'query-c', place: 's' }]]);
    const text = `select properties.desired.${KEY} AS ${KEY}, COUNT() AS numberOfDevices from devices group by properties.desired.${KEY}`;
    assert.deepEqual((await backEnd.query(text, 1, 'raw')).flat(), [
      { [KEY]: 0, numberOfDevices: 2 },
      { [KEY]: 1, numberOfDevices: 1 },
    ]);
  });

  each('is told where a query is wrong', async (backEnd) => {
    const shown = String(await backEnd.refusal('query', 'SELECT * FROM devices WHERE tags.site ==', 10, 'twins'));
    assert.match(shown, /The query is invalid.*Line 1, column 40/s);
  });
});
