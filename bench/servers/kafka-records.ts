/** Records as the hub writes them for a device of the benches, for what runs beside it. */
import { HUB_TIME, headersOf, TIME_DIGITS } from '../../src/records/kafka/headers.ts';
import { writeVarint } from '../../src/wire/kafka/record-batch.ts';

/** All headers, the time among them. */
export function headersOfDevice(deviceId: string): readonly (readonly [name: string, value: string])[] {
  const stamp = {
    deviceId,
    authMethod: '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
    generationId: '639000000000000000',
    source: 'Telemetry',
  } as const;
  const headers = headersOf(stamp, { system: {}, properties: [] });
  return [...headers.map(([name, value]) => [name, value ?? ''] as const), [HUB_TIME, '0'.repeat(TIME_DIGITS)]];
}

/** What stands behind the value of a record. */
export function recordTail(deviceId: string): Buffer {
  const headers = headersOfDevice(deviceId);
  const pieces = [headers.length, ...headers.flat()].map((part) => {
    const text = Buffer.from(typeof part === 'string' ? part : '');
    const length = Buffer.alloc(5);
    const end = writeVarint(length, 0, typeof part === 'string' ? text.length : part);
    return Buffer.concat([length.subarray(0, end), text]);
  });
  return Buffer.concat(pieces);
}
