/** Commands: messages that wait for their device. What becomes of each is shown step by step. */
import { useEffect, useState } from 'preact/hooks';
import { api } from '../../api.ts';
import { Field } from '../../parts/controls.tsx';
import type { Mood } from '../../parts/mood.ts';
import { Badge, Failure, Text, Time, timeOf, useAnswer, useWork } from '../../parts/words.tsx';
import type { TabProps } from '../device.tsx';

interface Command {
  readonly sequence: number;
  readonly messageId: string | null;
  readonly bodyBase64: string;
  readonly enqueuedTimeUtc: string;
  readonly expiryTimeUtc: string;
  readonly deliveryCount: number;
  readonly state: 'enqueued' | 'locked' | 'ended';
  readonly outcome?: string;
}

interface Newest {
  readonly commands: readonly Tracked[];
  readonly isComplete: boolean;
}

interface Tracked extends Command {
  readonly trail: readonly { readonly time: string; readonly step: string; readonly detail: string }[];
}

/** While one is under way, and while none is: others may send some, too. */
const POLL_MS = 1000;
const IDLE_POLL_MS = 5000;
const SHOWN_COMMANDS = 20;

const steps: Readonly<Record<string, readonly [mood: Mood, text: string]>> = {
  enqueued: ['', 'The hub has stored it.'],
  'handed-over': ['', 'Handed to the device.'],
  'lock-ended': ['warn', 'The device did not settle it in time; it is handed over again.'],
  'connection-lost': ['warn', 'The connection was lost before it was settled; it is handed over again.'],
  abandoned: ['warn', 'The device gave it back; it is handed over again.'],
  completed: ['ok', 'The device has completed it.'],
  rejected: ['bad', 'The device has rejected it.'],
  expired: ['bad', 'Its time was over before the device took it.'],
  deliveryCountExceeded: ['bad', 'It was handed over as often as is allowed.'],
  purged: ['warn', 'It was purged.'],
  'sent-again': ['', 'It was sent again.'],
  'receipt-handed-over': ['', 'Its receipt was handed to a back end.'],
  'receipt-read': ['', 'Its receipt was read.'],
};

export function CommandsTab({ device, again }: TabProps) {
  const path = `/mooring/v1/devices/${encodeURIComponent(device.deviceId)}`;
  const [body, setBody] = useState('');
  const [ttl, setTtl] = useState(3600);
  const { isBusy, error, run } = useWork();
  const dead = useAnswer(
    `dead ${path}`,
    async (signal) =>
      (await api<{ commands: readonly Command[] }>('GET', `${path}/dead-letters`, { signal })).data.commands,
  );
  const newest = useAnswer(`newest ${path}`, async (signal) => {
    const query = { top: String(SHOWN_COMMANDS) };
    return (await api<Newest>('GET', `${path}/commands`, { query, signal })).data;
  });
  const commands = newest.data?.commands ?? [];
  const underWay = commands.filter(({ state }) => state !== 'ended').length;
  useEffect(() => {
    // What has ended may be a dead letter now.
    dead.again();
    const timer = setInterval(
      () => {
        if (!document.hidden) newest.again();
      },
      underWay > 0 ? POLL_MS : IDLE_POLL_MS,
    );
    return () => clearInterval(timer);
  }, [underWay]);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const draft = { bodyText: body, ttlSeconds: ttl };
    await run(async () => void (await api('POST', `${path}/commands`, { body: draft })));
    newest.again();
    again();
  };
  const sendAgain = (sequence: number): Promise<boolean> =>
    run(async () => {
      await api('POST', `${path}/dead-letters/${sequence}/send-again`);
      newest.again();
      dead.again();
    });
  return (
    <div class="grid">
      <div class="stack">
        <form class="card stack" onSubmit={send}>
          <h2>Send a command</h2>
          <p class="quiet small">
            It waits for the device: it need not be connected.{' '}
            {device.cloudToDeviceMessageCount > 0 && `${device.cloudToDeviceMessageCount} wait already.`}
          </p>
          <Field label="Body">
            <textarea rows={4} value={body} onInput={(event) => setBody(event.currentTarget.value)} />
          </Field>
          <Field label="Waits for at most">
            <select value={ttl} onChange={(event) => setTtl(Number(event.currentTarget.value))}>
              <option value={60}>a minute</option>
              <option value={3600}>an hour</option>
              <option value={86_400}>a day</option>
              <option value={172_800}>two days</option>
            </select>
          </Field>
          <Failure error={error} />
          <button type="submit" class="primary" disabled={isBusy}>
            Send
          </button>
        </form>
        <section class="card stack">
          <h2>Dead letters</h2>
          <Failure error={dead.error} again={dead.again} />
          {dead.data?.length === 0 && <p class="quiet">Commands that were not completed are kept here for two days.</p>}
          <ul class="plain stack tight">
            {dead.data?.map((command) => (
              <li key={command.sequence} class="row">
                <Badge mood="bad">{command.outcome ?? command.state}</Badge>
                <span class="mono grow">
                  <Text value={bodyText(command)} />
                </span>
                <button type="button" class="tiny" disabled={isBusy} onClick={() => void sendAgain(command.sequence)}>
                  Send again
                </button>
              </li>
            ))}
          </ul>
        </section>
      </div>
      <section class="card stack" aria-live="polite">
        <h2>What became of them</h2>
        <Failure error={newest.error} again={newest.again} />
        {newest.data?.commands.length === 0 && (
          <p class="quiet">Each command that is sent to the device is followed here, step by step.</p>
        )}
        {commands.map((command) => (
          <Trail key={command.sequence} command={command} />
        ))}
        {newest.data?.isComplete === false && (
          <p class="quiet small">These are the newest {commands.length}; the hub keeps more.</p>
        )}
      </section>
    </div>
  );
}

const SHOWN_MAX = 200;

function bodyText({ bodyBase64 }: Command): string {
  const bytes = Uint8Array.from(atob(bodyBase64), (character) => character.charCodeAt(0));
  return new TextDecoder().decode(bytes).slice(0, SHOWN_MAX);
}

function Trail({ command }: { readonly command: Tracked }) {
  const isOver = command.state === 'ended';
  return (
    <article class="answer stack tight">
      <div class="row">
        <strong class="mono">
          <Text value={bodyText(command) || 'empty body'} />
        </strong>
        <Badge mood={command.outcome === 'completed' ? 'ok' : isOver ? 'bad' : ''}>
          {command.outcome ?? command.state}
        </Badge>
      </div>
      <ul class="timeline">
        {command.trail.map(({ time, step, detail }, at) => {
          const [mood, text] = steps[step] ?? ['', step];
          return (
            <li key={`${at} ${step}`} class={mood}>
              <Time at={timeOf(time)} />
              <span>
                {text}{' '}
                <span class="quiet small">
                  <Text value={detail} />
                </span>
              </span>
            </li>
          );
        })}
      </ul>
    </article>
  );
}
