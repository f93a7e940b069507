/** The last things that happened between devices and the hub. */
import { useEffect, useState } from 'preact/hooks';
import { ask } from '../../api.ts';
import { summed } from '../../parts/alike.ts';
import type { MonitoringEvent } from '../../parts/monitoring.ts';
import { MonitoringLine } from '../../parts/monitoring-line.tsx';
import { useMay } from '../../session.ts';
import { followTopic } from '../../stream.ts';

const SHOWN = 12;
const DRAW_MS = 250;

export function Happenings() {
  const mayRead = useMay('ServiceConnect');
  return mayRead ? <List /> : null;
}

const keyOf = ({ time, type, deviceId, sequenceNumber }: MonitoringEvent): string =>
  JSON.stringify([time, type, deviceId, sequenceNumber]);

/** Newest first, each once. */
function joined(newer: readonly MonitoringEvent[], older: readonly MonitoringEvent[]): readonly MonitoringEvent[] {
  const known = new Set(newer.map(keyOf));
  return summed([...newer, ...older.filter((event) => !known.has(keyOf(event)))]).slice(0, SHOWN);
}

function List() {
  const [events, setEvents] = useState<readonly MonitoringEvent[]>([]);
  useEffect(() => {
    // Many come at once when a fleet comes back: the page draws four times a second.
    let fresh: MonitoringEvent[] = [];
    const end = followTopic('monitoring', (data, name) => {
      if (name === 'monitoring')
        fresh = [...fresh, ...(data as { events: readonly MonitoringEvent[] }).events].slice(-SHOWN);
    });
    const timer = setInterval(() => {
      if (fresh.length === 0) return;
      const added = fresh.reverse();
      fresh = [];
      setEvents((before) => joined(added, before));
    }, DRAW_MS);
    // What happened before. What comes meanwhile may be in both.
    const gone = new AbortController();
    const query = { top: String(SHOWN) };
    ask<{ events: readonly MonitoringEvent[] }>('GET', '/portal/recent', { query, signal: gone.signal }).then(
      ({ data: { events: past } }) => setEvents((now) => joined(now, past.toReversed())),
      // A hub without monitoring has no past; what comes is shown all the same.
      () => {},
    );
    return () => {
      gone.abort();
      end();
      clearInterval(timer);
    };
  }, []);
  return (
    <section class="card">
      <h2>What happens now</h2>
      {events.length === 0 ? (
        <p class="quiet">Connections, refusals and changes of devices appear here as they happen.</p>
      ) : (
        <ul class="timeline">
          {events.map((event, at) => (
            <MonitoringLine
              key={`${event.time} ${event.deviceId} ${event.sequenceNumber ?? at} ${event.type}`}
              event={event}
              link
            />
          ))}
        </ul>
      )}
    </section>
  );
}
