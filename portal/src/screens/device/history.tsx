/** When a device was connected, why it went, and why it cannot come in. */
import { useEffect } from 'preact/hooks';
import type { Identity, KnownDevice } from '../../devices.ts';
import { type MonitoringEvent, sayingOf, wayText } from '../../parts/monitoring.ts';
import type { Mood } from '../../parts/mood.ts';
import { Badge, Failure, Text, Time, timeOf, useAnswer } from '../../parts/words.tsx';
import { type ConnectionEvent, type Past, pastOf, type RefusalEvent } from '../../past.ts';
import { href } from '../../router.ts';
import { followTopic } from '../../stream.ts';
import type { TabProps } from '../device.tsx';

const SOON_MS = 500;

/** What the hub has kept of a device, read again when something happens to it. */
function usePast(deviceId: string) {
  const past = useAnswer(`past ${deviceId}`, (signal) => pastOf(deviceId, signal));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = followTopic('monitoring', (data, name) => {
      if (name !== 'monitoring') return;
      const isOurs = (data as { events: readonly MonitoringEvent[] }).events.some(
        (event) => event.deviceId === deviceId,
      );
      // Many may come at once; one reading has them all.
      if (isOurs)
        timer ??= setTimeout(() => {
          timer = undefined;
          past.again();
        }, SOON_MS);
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }, [deviceId]);
  return past;
}

interface Step {
  readonly time: string;
  readonly mood: Mood;
  readonly text: string;
  readonly remedy?: string | undefined;
  readonly where: string;
}

const placeText = ({ protocol, peer, moduleId }: ConnectionEvent | RefusalEvent): string =>
  [moduleId === undefined ? '' : `module ${moduleId}`, protocol === undefined ? '' : wayText(protocol), peer ?? '']
    .filter((part) => part !== '')
    .join(' · ');

const refusalStep = (refusal: RefusalEvent): Step => ({
  time: refusal.time,
  mood: refusal.type === 'throttled' ? 'warn' : 'bad',
  text: refusal.count > 1 ? `${refusal.sentence} (${refusal.count} times)` : refusal.sentence,
  remedy: refusal.remedy,
  where: placeText(refusal),
});

/** Newest first. */
function stepsOf({ connections, refusals }: Past): readonly Step[] {
  const steps = connections.map((event): Step => {
    const { mood, text, remedy } = sayingOf({
      type: event.type,
      time: event.time,
      ...(event.reason && { reason: event.reason }),
      ...(event.detail && { detail: event.detail }),
    });
    return { time: event.time, mood, text, remedy, where: placeText(event) };
  });
  return [...steps, ...refusals.map(refusalStep)].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
}

function Steps({ steps }: { readonly steps: readonly Step[] }) {
  return (
    <ul class="timeline">
      {steps.map(({ time, mood, text, remedy, where }, at) => (
        <li key={`${time} ${steps.length - at}`} class={mood}>
          <Time at={timeOf(time)} />
          <div>
            <p>
              <Text value={text} /> <span class="quiet small">{where}</span>
            </p>
            {remedy !== undefined && (
              <p class="quiet">
                <Text value={remedy} />
              </p>
            )}
          </div>
        </li>
      ))}
    </ul>
  );
}

export function HistoryTab({ device }: TabProps) {
  const { data, error, again } = usePast(device.deviceId);
  const steps = data === undefined ? [] : stepsOf(data);
  return (
    <section class="card">
      <h2>Connections and refusals</h2>
      <Failure error={error} again={again} />
      {data !== undefined && steps.length === 0 && (
        <p class="quiet">
          The hub has kept nothing of this device: it has not tried to connect, or that is longer ago than events are
          kept.
        </p>
      )}
      <Steps steps={steps} />
      {data?.lookedSince !== undefined && (
        <p class="quiet small">
          Events before <Time at={timeOf(data.lookedSince)} /> are in the event hub for monitoring.
        </p>
      )}
    </section>
  );
}

export function WhyTab({ device }: TabProps) {
  const { data, error, again } = usePast(device.deviceId);
  const refusals = data?.refusals ?? [];
  const own = refusals.filter(({ by }) => by === 'device');
  const others = refusals.filter(({ by }) => by === 'backEnd');
  const last = own[0];
  const connected = data?.connections.find(({ type }) => type === 'connected');
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
      {own.length > 0 && (
        <section class="card">
          <h2>Last refusals</h2>
          <Steps steps={own.slice(0, SHOWN_MAX).map(refusalStep)} />
        </section>
      )}
      {others.length > 0 && (
        <section class="card stack tight">
          <h2>Refused to back ends</h2>
          <p class="quiet">
            Programs that asked the hub for something of this device. They do not keep the device from connecting.
          </p>
          <Steps steps={others.slice(0, SHOWN_MAX).map(refusalStep)} />
        </section>
      )}
    </div>
  );
}

const SHOWN_MAX = 10;

function Verdict(props: {
  readonly last: RefusalEvent | undefined;
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
  const { sentence, remedy, count } = last;
  return (
    <div class="note bad">
      <p>
        <strong>
          <Text value={count > 1 ? `${sentence} (${count} times)` : sentence} />
        </strong>{' '}
        <Time at={timeOf(last.time)} ago />
      </p>
      <p>
        <Text value={remedy} />
      </p>
    </div>
  );
}

interface Standing {
  readonly isWell: boolean;
  readonly text: string;
}

/** What the registry says of it, as far as the policy may read it. */
function standing({
  status,
  authentication,
}: KnownDevice & Partial<Pick<Identity, 'authentication'>>): readonly Standing[] {
  return [
    { isWell: true, text: 'The device is registered.' },
    status === 'enabled'
      ? { isWell: true, text: 'It is enabled.' }
      : { isWell: false, text: 'It is disabled: enable it on the tab Identity.' },
    ...(authentication === undefined ? [] : [proving(authentication)]),
  ];
}

function proving({ type, x509Thumbprint }: Identity['authentication']): Standing {
  const hasThumbprint = x509Thumbprint.primaryThumbprint !== null || x509Thumbprint.secondaryThumbprint !== null;
  if (type === 'selfSigned' && !hasThumbprint) {
    return { isWell: false, text: 'It is to show a certificate, and no thumbprint is registered.' };
  }
  return {
    isWell: true,
    text: type === 'sas' ? 'It has keys: its program must use a token.' : 'It must show its certificate.',
  };
}
