/** The record of one device of a job, as the emulated service shows it (query reference 2), and single values of it for queries. */
import { errorTable } from '../errors.ts';
import type { FieldPath } from '../query/fields.ts';
import type { FleetPlace, FleetRow } from '../query/ports.ts';
import type { Value } from '../query/values.ts';
import type { DeviceJob, DeviceState } from './types.ts';

/** Words that service SDKs of every language read, as far as there are such. */
const statuses: Readonly<Record<DeviceState, string>> = {
  waiting: 'scheduled',
  running: 'running',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'canceled',
  unknown: 'unknown',
};

/** Members of the other kind of job object must not be among these: one SDK refuses objects that have both. */
export function deviceJobJson(record: DeviceJob) {
  const { key, jobId, kind, state, createdTime, startTime, endTime, result } = record;
  const answer = result?.kind === 'answer' ? { status: result.status, payload: payloadOf(result.payload) } : null;
  return {
    deviceId: key.deviceId,
    ...(key.moduleId !== undefined && { moduleId: key.moduleId }),
    jobId,
    jobType: kind,
    status: statuses[state],
    ...(startTime !== 0 && { startTimeUtc: timeText(startTime) }),
    ...(endTime !== 0 && { endTimeUtc: timeText(endTime) }),
    createdDateTimeUtc: timeText(createdTime),
    lastUpdatedDateTimeUtc: timeText(Math.max(createdTime, startTime, endTime)),
    outcome: { deviceMethodResponse: answer },
    ...(result?.kind === 'error' && {
      error: { code: String(errorTable[result.code].number), description: result.message },
    }),
  };
}

export const timeText = (time: number): string => new Date(time).toISOString();

function payloadOf(text: string): unknown {
  return JSON.parse(text);
}

/** A record as queries read it. */
export class DeviceJobRow implements FleetRow {
  readonly place: FleetPlace;
  readonly #record: DeviceJob;
  #json: Readonly<Record<string, unknown>> | undefined;

  constructor(record: DeviceJob) {
    this.#record = record;
    this.place = placeOfDeviceJob(record);
  }

  value({ field, below }: FieldPath): Value {
    let value = own(this.#whole(), field);
    for (const segment of below) value = own(value, segment);
    return value as Value;
  }

  text(): string {
    return JSON.stringify(this.#whole());
  }

  #whole(): Readonly<Record<string, unknown>> {
    this.#json ??= deviceJobJson(this.#record);
    return this.#json;
  }
}

function own(value: unknown, name: string | number): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) return typeof name === 'number' ? value[name] : undefined;
  return Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

/** Records come by job, then by device, then by module. Neither a job's id nor a device's holds a slash. */
export function placeOfDeviceJob({ jobId, key }: Pick<DeviceJob, 'jobId' | 'key'>): FleetPlace {
  return { deviceId: `${jobId}/${key.deviceId}`, moduleId: key.moduleId ?? '' };
}

/** What stands before the slash is the job; a place without one is behind all of its records. */
export function partsOfPlace({
  deviceId,
  moduleId,
}: FleetPlace): readonly [job: string, device: string, module: string] {
  const at = deviceId.indexOf('/');
  return at === -1 ? [deviceId, '', ''] : [deviceId.slice(0, at), deviceId.slice(at + 1), moduleId];
}
