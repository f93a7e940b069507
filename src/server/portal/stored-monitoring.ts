/**
 * Monitoring events of all nodes, for pages: read from the stream as it is stored, because a node hears only of its own while they
 * happen. Nothing is read while no page watches.
 */
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { LiveEvents } from '../../protocols/http/monitoring-routes.ts';
import { readBareMessage } from '../../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES } from '../../wire/amqp/record.ts';

type Listener = Parameters<LiveEvents['watch']>[0];

const PARTITION = 0;

export function storedMonitoring(stream: EventLog, log: Log): LiveEvents['watch'] {
  return (listener) => {
    let [isOver, isReading, isAsked] = [false, false, false];
    let next = stream.lastKnown(PARTITION).lastSequence + 1;
    const read = async (): Promise<void> => {
      while (!isOver) {
        const runs = await stream.read(PARTITION, next, limits.portalReadBytesMax);
        if (runs.length === 0) return;
        for (const { firstSequence, count, bytes, start } of runs) {
          let place = start;
          for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
            const from = place + 4;
            place = from + bytes.readUInt32LE(place);
            // A run may begin before the place that was asked for.
            if (sequence >= next && !isOver)
              tell(listener, sequence, bytes.subarray(from + RECORD_HEADER_BYTES, place));
          }
          next = Math.max(next, firstSequence + count);
        }
        stream.giveBack(runs);
      }
    };
    const look = async (): Promise<void> => {
      isAsked = true;
      if (isReading) return;
      isReading = true;
      try {
        while (isAsked && !isOver) {
          isAsked = false;
          await read();
        }
      } catch (error) {
        log.warn({ error }, 'the portal could not read the monitoring stream; it tries again with the next event');
      } finally {
        isReading = false;
      }
    };
    const unwatch = stream.watch(PARTITION, () => void look());
    return () => {
      isOver = true;
      unwatch();
    };
  };
}

/** A record that is damaged is left out: the others are of use all the same. */
function tell(listener: Listener, sequence: number, message: Buffer): void {
  let [type, json] = ['', ''];
  try {
    json = readBareMessage(message).body.toString('utf8');
    type = String((JSON.parse(json) as { readonly type?: unknown }).type);
  } catch {
    return;
  }
  listener(type, String(sequence), json);
}
