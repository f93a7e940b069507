/** A line of a timeline: an event in a sentence. */
import { href } from '../router.ts';
import { type MonitoringEvent, sayingOf } from './monitoring.ts';
import { Text, Time, timeOf } from './words.tsx';

export function MonitoringLine(props: {
  readonly event: MonitoringEvent;
  /** Names the device, with a link to it. */
  readonly link?: boolean;
  /** Says what to do. */
  readonly remedies?: boolean;
}) {
  const { event, link = false, remedies = false } = props;
  const { mood, text, remedy } = sayingOf(event);
  return (
    <li class={mood}>
      <Time at={timeOf(event.time)} />
      <div>
        {link && event.deviceId !== undefined && (
          <>
            <a href={href('/device', { id: event.deviceId })}>
              <Text value={event.deviceId} />
              {event.moduleId !== undefined && (
                <>
                  /<Text value={event.moduleId} />
                </>
              )}
            </a>
            {event.policyName === undefined ? ' ' : ': '}
          </>
        )}
        <Text value={text} />
        {event.first !== undefined && (event.count ?? 1) > 1 && (
          <span class="quiet small">
            {' '}
            since <Time at={timeOf(event.first)} />
          </span>
        )}
        {remedies && remedy !== undefined && <p class="quiet">{remedy}</p>}
      </div>
    </li>
  );
}
