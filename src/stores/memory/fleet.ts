import { setImmediate as turn } from 'node:timers/promises';
import { limits } from '../../base/limits.ts';
import type { LiveStates } from '../../core/hub-state.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';
import { DeviceJobRow, partsOfPlace } from '../../core/jobs/device-job.ts';
import { explainPage } from '../../core/query/explain.ts';
import { MatchSize, RowMatching } from '../../core/query/matching.ts';
import { runPage } from '../../core/query/page.ts';
import type {
  FleetMatcher,
  FleetPlace,
  FleetReader,
  FleetRow,
  FleetSlice,
  FleetStore,
  Pace,
  PageRequest,
  RowMatch,
} from '../../core/query/ports.ts';
import type { Collection } from '../../core/query/syntax.ts';
import { TwinRow } from '../../core/twins/document.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import type { MemoryJobStore } from './jobs.ts';

/** The fleet as its stores answer for one identity after the other: for stores in memory, where that costs nothing. */
export function createMemoryFleetStore(
  identities: Pick<IdentityStore, 'get' | 'listDevices' | 'listModules'>,
  twins: Pick<TwinStore, 'load'>,
  live: LiveStates,
  jobs?: Pick<MemoryJobStore, 'records'>,
): FleetStore {
  const rowOf = async (identity: Identity): Promise<FleetRow | undefined> => {
    const { deviceId, moduleId } = identity;
    const key: IdentityKey = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
    const kept = await twins.load(key, identity.generationId);
    if (kept === undefined) return undefined;
    const [state, [depth]] = await Promise.all([live.state(key), live.commandDepths([key])]);
    const { twin, modelId, configurations } = kept;
    return new TwinRow({
      place: { deviceId, moduleId: moduleId ?? '' },
      identity: () => ({ ...identity, ...state, cloudToDeviceMessageCount: depth }),
      modelId,
      versions: { changes: twin.changes, reported: twin.reported.version },
      twin: () => twin,
      configurations: () => configurations,
    });
  };
  const readerOf = (from: Collection): FleetReader => ({
    async read(after): Promise<FleetSlice> {
      const deviceId = after?.deviceId;
      // Of the device where the last piece ended more modules may follow.
      const rest =
        from === 'devices.modules' && deviceId !== undefined
          ? (await identities.listModules(deviceId)).filter(({ moduleId = '' }) => moduleId > (after?.moduleId ?? ''))
          : [];
      const devices = await identities.listDevices({
        limit: limits.querySliceRows,
        ...(deviceId !== undefined && { after: deviceId }),
      });
      const found: Identity[] = [...rest];
      for (const device of devices) {
        if (from === 'devices') found.push(device);
        else found.push(...(await identities.listModules(device.deviceId)));
      }
      const rows = (await Promise.all(found.map(rowOf))).filter((row) => row !== undefined);
      return devices.length < limits.querySliceRows ? { rows } : { rows, end: endOf(devices) };
    },
  });
  const matching = new RowMatching();
  let last = 0;
  const matcher: FleetMatcher = {
    add(query) {
      matching.add(++last, query);
      return last;
    },
    remove: (query) => matching.remove(query),
    async match(asks) {
      const matches: (readonly RowMatch[])[] = [];
      const size = new MatchSize();
      for (const { place, parts } of asks) {
        if (size.isFull) break;
        const { deviceId, moduleId } = place;
        const identity = await identities.get(moduleId === '' ? { deviceId } : { deviceId, moduleId });
        const row = identity && (await rowOf(identity));
        const found = row === undefined ? [] : matching.match(row, parts);
        size.add(found);
        matches.push(found);
      }
      return matches;
    },
    piece: (query, after) => matching.piece(query, readerOf(matching.query(query)?.from ?? 'devices'), after),
  };
  const jobRecords: FleetReader = {
    async read(after): Promise<FleetSlice> {
      const place = after === undefined ? (['', '', ''] as const) : partsOfPlace(after);
      const rows = (jobs?.records(place, limits.querySliceRows) ?? []).map((record) => new DeviceJobRow(record));
      const last = rows.at(-1);
      return rows.length < limits.querySliceRows || last === undefined ? { rows } : { rows, end: last.place };
    },
  };
  const collectionOf = ({ query: { from } }: PageRequest) => (from === 'devices.jobs' ? jobRecords : readerOf(from));
  return {
    matcher,
    page: (request, signal) => runPage(request, collectionOf(request), paceOf(signal)),
    explain: (request, signal) => explainPage(request, collectionOf(request), paceOf(signal)),
  };
}

function paceOf(signal: AbortSignal): Pace {
  const end = performance.now() + limits.queryPageMs;
  return {
    async next() {
      await turn();
      signal.throwIfAborted();
      return performance.now() > end ? 'late' : 'go';
    },
  };
}

/** Behind all modules of the last device. */
function endOf(devices: readonly Identity[]): FleetPlace {
  return { deviceId: devices[devices.length - 1].deviceId, moduleId: '\uffff' };
}
