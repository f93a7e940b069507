/** A device that runs in this page: the hub lets it in by its own key; it sends telemetry, completes commands, answers methods, and reports what is desired. */
import type { Identity } from '../devices.ts';
import { Field } from '../parts/controls.tsx';
import { Badge, Text } from '../parts/words.tsx';
import { useStore } from '../store.ts';
import { deviceOfPage, type Run } from './running.ts';

const words: Readonly<Record<Run['state'], readonly [mood: '' | 'ok' | 'warn' | 'bad', text: string]>> = {
  off: ['', 'not running'],
  connecting: ['warn', 'connecting'],
  on: ['ok', 'connected'],
  lost: ['warn', 'connection ended'],
};

export function SimulatedDevice({ device }: { readonly device: Identity }) {
  const running = deviceOfPage(device.deviceId);
  const { state, sent, perSecond, heard } = useStore(running.shown);
  if (device.authentication.type !== 'sas' || device.authentication.symmetricKey.primaryKey === null) return null;

  const isRunning = state === 'on' || state === 'connecting';
  const [mood, text] = words[state];
  return (
    <section class="stack" aria-label="Simulated device">
      <h3>With a device that runs in this page</h3>
      <div class="row end">
        {isRunning ? (
          <button type="button" onClick={() => running.stop()}>
            Stop the simulated device
          </button>
        ) : (
          <button type="button" class="primary" onClick={() => running.start(device.deviceId)}>
            Start a simulated device
          </button>
        )}
        <Field label="Messages per second">
          <select value={perSecond} onChange={(event) => running.pace(Number(event.currentTarget.value))}>
            {[1, 5, 20].map((rate) => (
              <option key={rate} value={rate}>
                {rate}
              </option>
            ))}
          </select>
        </Field>
        <Badge mood={mood}>{text}</Badge>
        {sent > 0 && <span class="quiet numeric">{sent} stored by the hub</span>}
        {isRunning && <span class="quiet small">It runs on while you look at other screens of this tab.</span>}
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
