/** A device that runs in this page: the hub lets it in by its own key; it sends telemetry, completes commands, answers methods, and reports what is desired. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Identity } from '../devices.ts';
import { Field } from '../parts/controls.tsx';
import { Badge, Text } from '../parts/words.tsx';
import { PageDeviceClient } from './page-device.ts';

type State = 'off' | 'connecting' | 'on' | 'lost';

const words: Readonly<Record<State, readonly [mood: '' | 'ok' | 'warn' | 'bad', text: string]>> = {
  off: ['', 'not running'],
  connecting: ['warn', 'connecting'],
  on: ['ok', 'connected'],
  lost: ['warn', 'connection ended'],
};

const SHOWN_MAX = 5;

export function SimulatedDevice({ device }: { readonly device: Identity }) {
  const [state, setState] = useState<State>('off');
  const [sent, setSent] = useState(0);
  const [perSecond, setPerSecond] = useState(1);
  const [heard, setHeard] = useState<readonly string[]>([]);
  const client = useRef<PageDeviceClient>(undefined);
  const key = device.authentication.symmetricKey.primaryKey;

  useEffect(() => () => client.current?.close(), []);
  useEffect(() => {
    if (state !== 'on') return;
    let n = 0;
    const send = (): void => {
      client.current?.send(reading(n++), { room: 'page' });
    };
    send();
    const timer = setInterval(send, 1000 / perSecond);
    return () => clearInterval(timer);
  }, [state, perSecond, device.deviceId]);

  if (key === null || device.authentication.type !== 'sas') return null;

  const note = (line: string): void => setHeard((before) => [line, ...before].slice(0, SHOWN_MAX));
  const start = (): void => {
    setState('connecting');
    setSent(0);
    const own = new PageDeviceClient(device.deviceId, {
      connected: () => setState('on'),
      stored: () => setSent((count) => count + 1),
      command: (text) => note(`command: ${text}`),
      method(name, payload) {
        note(`method ${name}: ${JSON.stringify(payload) ?? 'no payload'}`);
        return { done: name };
      },
      desired(patch) {
        note(`desired properties: ${JSON.stringify(patch)}`);
        own.report(patch as object);
      },
      refused: (message) => note(`refused: ${message}`),
      closed(why) {
        if (client.current !== own) return;
        client.current = undefined;
        setState('lost');
        if (why !== '') note(`the hub ended the connection: ${why}`);
      },
    });
    client.current = own;
  };
  const stop = (): void => {
    const own = client.current;
    client.current = undefined;
    own?.close();
    setState('off');
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
          <button type="button" class="primary" onClick={start}>
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

/** A machine that warms up, hums, and vibrates. */
function reading(n: number): object {
  const wave = Math.sin(n / 8);
  return {
    temperature: Math.round((21 + 3 * wave + Math.random() * 0.4) * 100) / 100,
    humidity: Math.round(52 - 6 * wave + Math.random()),
    motor: { rpm: Math.round(1450 + 60 * Math.cos(n / 5) + Math.random() * 8), isOn: true },
  };
}
