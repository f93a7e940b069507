/** A device that runs in this page: it proves itself by its own key, sends telemetry, and answers commands and methods. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Identity } from '../devices.ts';
import { Field } from '../parts/controls.tsx';
import { Badge, Text } from '../parts/words.tsx';
import { useSession } from '../session.ts';
import { MqttClient } from './mqtt.ts';
import { deviceToken } from './token.ts';

type State = 'off' | 'connecting' | 'on' | 'refused' | 'lost';

const words: Readonly<Record<State, readonly [mood: '' | 'ok' | 'warn' | 'bad', text: string]>> = {
  off: ['', 'not running'],
  connecting: ['warn', 'connecting'],
  on: ['ok', 'connected'],
  refused: ['bad', 'refused: see "Why can it not connect?" of the device'],
  lost: ['warn', 'connection ended'],
};

const SHOWN_MAX = 5;

export function SimulatedDevice({ device }: { readonly device: Identity }) {
  const { hostName } = useSession();
  const [state, setState] = useState<State>('off');
  const [sent, setSent] = useState(0);
  const [perSecond, setPerSecond] = useState(1);
  const [heard, setHeard] = useState<readonly string[]>([]);
  const client = useRef<MqttClient>(undefined);
  const key = device.authentication.symmetricKey.primaryKey;

  useEffect(() => () => client.current?.close(), []);
  useEffect(() => {
    if (state !== 'on') return;
    let n = 0;
    const send = (): void => {
      client.current?.publish(topicOf(device.deviceId), JSON.stringify(reading(n++)));
    };
    send();
    const timer = setInterval(send, 1000 / perSecond);
    return () => clearInterval(timer);
  }, [state, perSecond, device.deviceId]);

  if (key === null || device.authentication.type !== 'sas') return null;

  const start = async (): Promise<void> => {
    setState('connecting');
    const id = device.deviceId;
    const address = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/portal/device`;
    const login = {
      clientId: id,
      username: `${hostName}/${id}/?api-version=2021-04-12`,
      password: await deviceToken(hostName, id, key),
    };
    const note = (line: string): void => setHeard((before) => [line, ...before].slice(0, SHOWN_MAX));
    const own = new MqttClient(address, login, {
      connected(returnCode) {
        if (returnCode !== 0) return setState('refused');
        setState('on');
        own.subscribe(`devices/${id}/messages/devicebound/#`);
        own.subscribe('$iothub/methods/POST/#');
      },
      acknowledged: () => setSent((count) => count + 1),
      message(topic, body) {
        const text = new TextDecoder().decode(body);
        const method = /^\$iothub\/methods\/POST\/(.+)\/\?\$rid=(.+)$/.exec(topic);
        note(method === null ? `command: ${text}` : `method ${method[1]}: ${text}`);
        if (method !== null) {
          own.publish(`$iothub/methods/res/200/?$rid=${method[2]}`, JSON.stringify({ done: method[1] }));
        }
      },
      closed: () => setState((before) => (before === 'refused' || before === 'off' ? before : 'lost')),
    });
    client.current = own;
  };
  const stop = (): void => {
    setState('off');
    client.current?.close();
  };
  const isRunning = state === 'on' || state === 'connecting';
  const [mood, text] = words[state];
  return (
    <section class="stack" aria-label="Simulated device">
      <h3>With a device that runs in this page</h3>
      <div class="row end">
        {isRunning ? (
          <button type="button" onClick={stop}>
            Stop the simulated device
          </button>
        ) : (
          <button type="button" class="primary" onClick={() => void start()}>
            Start a simulated device
          </button>
        )}
        <Field label="Messages per second">
          <select value={perSecond} onChange={(event) => setPerSecond(Number(event.currentTarget.value))}>
            {[1, 5, 20].map((rate) => (
              <option key={rate} value={rate}>
                {rate}
              </option>
            ))}
          </select>
        </Field>
        <Badge mood={mood}>{text}</Badge>
        {sent > 0 && <span class="quiet numeric">{sent} stored by the hub</span>}
      </div>
      {heard.length > 0 && (
        <ul class="plain small mono">
          {heard.map((line, at) => (
            <li key={`${heard.length - at} ${line}`}>
              <Text value={line} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

const topicOf = (id: string): string => `devices/${id}/messages/events/room=page&$.ct=application%2Fjson&$.ce=utf-8`;

/** A machine that warms up, hums, and vibrates. */
function reading(n: number): object {
  const wave = Math.sin(n / 8);
  return {
    temperature: Math.round((21 + 3 * wave + Math.random() * 0.4) * 100) / 100,
    humidity: Math.round(52 - 6 * wave + Math.random()),
    motor: { rpm: Math.round(1450 + 60 * Math.cos(n / 5) + Math.random() * 8), isOn: true },
  };
}
