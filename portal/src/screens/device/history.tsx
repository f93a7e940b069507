/** When a device was connected, why it went, and why it cannot come in. */
import { useEffect, useState } from 'preact/hooks';
import type { Identity } from '../../devices.ts';
import { type MonitoringEvent, sayingOf } from '../../parts/monitoring.ts';
import { MonitoringLine } from '../../parts/monitoring-line.tsx';
import { Badge, Failure, Text, Time, timeOf, useAnswer } from '../../parts/words.tsx';
import { pastEvents } from '../../past.ts';
import { href } from '../../router.ts';
import { followTopic } from '../../stream.ts';
import type { TabProps } from '../device.tsx';

const LIVE_MAX = 200;

/** What the hub has told of a device, newest first, and what it tells from now on. */
function useEvents(deviceId: string) {
  const past = useAnswer(`past ${deviceId}`, (signal) => pastEvents({ deviceId, signal }));
  const [live, setLive] = useState<readonly MonitoringEvent[]>([]);
  useEffect(
    () =>
      followTopic('monitoring', (data, name) => {
        if (name !== 'monitoring') return;
        const own = (data as { events: readonly MonitoringEvent[] }).events.filter(
          (event) => event.deviceId === deviceId,
        );
        if (own.length > 0) setLive((before) => [...own.reverse(), ...before].slice(0, LIVE_MAX));
      }),
    [deviceId],
  );
  const known = new Set(live.map(({ sequenceNumber }) => sequenceNumber));
  const events = [...live, ...(past.data?.events ?? []).filter(({ sequenceNumber }) => !known.has(sequenceNumber))];
  return { ...past, events, isComplete: past.data?.isComplete ?? false };
}

export function HistoryTab({ device }: TabProps) {
  const { events, error, again, data, isComplete } = useEvents(device.deviceId);
  return (
    <section class="card">
      <h2>What happened to this device</h2>
      <Failure error={error} again={again} />
      {data !== undefined && events.length === 0 && (
        <p class="quiet">
          The hub has kept nothing of this device: it has not connected, or that is longer ago than events are kept.
        </p>
      )}
      <ul class="timeline">
        {events.map((event) => (
          <MonitoringLine key={`${event.sequenceNumber} ${event.type} ${event.time}`} event={event} remedies />
        ))}
      </ul>
      {data !== undefined && !isComplete && (
        <p class="quiet small">Older events are in the event hub for monitoring.</p>
      )}
    </section>
  );
}

const refusals = new Set(['authenticationFailed', 'handshakeFailed', 'operationRefused', 'throttled']);
const SHOWN_MAX = 10;

export function WhyTab({ device }: TabProps) {
  const { events, error, again, data } = useEvents(device.deviceId);
  const refused = events.filter(({ type }) => refusals.has(type));
  const connected = events.find(({ type }) => type === 'connected');
  const last = refused[0];
  const isOver = connected !== undefined && (last === undefined || Date.parse(connected.time) > Date.parse(last.time));
  return (
    <div class="stack">
      <section class="card stack">
        <h2>Why can it not connect?</h2>
        <Failure error={error} again={again} />
        <ul class="plain stack tight">
          {standing(device).map(({ isWell, text }) => (
            <li key={text} class="row nowrap">
              <Badge mood={isWell ? 'ok' : 'bad'}>{isWell ? 'well' : 'look'}</Badge>
              <span>{text}</span>
            </li>
          ))}
        </ul>
        {data !== undefined && (
          <Verdict
            last={last}
            isOver={isOver}
            isConnected={device.connectionState === 'Connected'}
            deviceId={device.deviceId}
          />
        )}
      </section>
      {refused.length > 0 && (
        <section class="card">
          <h2>Last refusals</h2>
          <ul class="timeline">
            {refused.slice(0, SHOWN_MAX).map((event) => (
              <MonitoringLine key={`${event.sequenceNumber} ${event.time}`} event={event} remedies />
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function Verdict(props: {
  readonly last: MonitoringEvent | undefined;
  readonly isOver: boolean;
  readonly isConnected: boolean;
  readonly deviceId: string;
}) {
  const { last, isOver, isConnected, deviceId } = props;
  if (isConnected) return <p class="note">It is connected now.</p>;
  if (last === undefined || isOver) {
    return (
      <div class="note">
        <p>
          {last === undefined
            ? 'The hub has not refused this device. If it tries to connect, it does not get here, or under another name.'
            : 'Since its last refusal it has been connected; it has gone by itself.'}
        </p>
        <p>
          Check that it reaches the host name and port of the hub, trusts its CA, and uses this very id. A program to
          try it with is under <a href={href('/device', { id: deviceId, tab: 'connect' })}>Connect</a>.
        </p>
      </div>
    );
  }
  const { text, remedy } = sayingOf(last);
  return (
    <div class="note bad">
      <p>
        <strong>
          <Text value={text} />
        </strong>{' '}
        <Time at={timeOf(last.time)} ago />
      </p>
      {remedy !== undefined && <p>{remedy}</p>}
    </div>
  );
}

function standing({
  status,
  authentication,
}: Identity): readonly { readonly isWell: boolean; readonly text: string }[] {
  const { type, x509Thumbprint } = authentication;
  const hasThumbprint = x509Thumbprint.primaryThumbprint !== null || x509Thumbprint.secondaryThumbprint !== null;
  return [
    { isWell: true, text: 'The device is registered.' },
    status === 'enabled'
      ? { isWell: true, text: 'It is enabled.' }
      : { isWell: false, text: 'It is disabled: enable it on the tab Identity.' },
    type === 'selfSigned' && !hasThumbprint
      ? { isWell: false, text: 'It is to show a certificate, and no thumbprint is registered.' }
      : {
          isWell: true,
          text: type === 'sas' ? 'It has keys: its program must use a token.' : 'It must show its certificate.',
        },
  ];
}
