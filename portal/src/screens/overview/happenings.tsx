/** The last things that happened between devices and the hub. */
import { useEffect, useState } from 'preact/hooks';
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
      setEvents((before) => [...added, ...before].slice(0, SHOWN));
    }, DRAW_MS);
    return () => {
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
