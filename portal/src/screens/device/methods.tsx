/** Calls of methods: a question to a connected device, and its answer. */
import { useState } from 'preact/hooks';
import { api } from '../../api.ts';
import { CopyButton, Field } from '../../parts/controls.tsx';
import { JsonTree } from '../../parts/json-tree.tsx';
import { Badge, Failure, Text, Time } from '../../parts/words.tsx';
import type { TabProps } from '../device.tsx';
import { methodsSent, noteMethod } from './sent.ts';

interface Result {
  readonly name: string;
  readonly at: number;
  readonly ms: number;
  readonly status?: number;
  readonly payload?: unknown;
  readonly error?: unknown;
}

const RESULTS_MAX = 20;

export function MethodsTab({ device }: TabProps) {
  const [sent, setSent] = useState(() => methodsSent(device.deviceId));
  const [name, setName] = useState(sent[0]?.name ?? '');
  const [payload, setPayload] = useState(sent[0]?.payload ?? '');
  const [seconds, setSeconds] = useState(30);
  const [results, setResults] = useState<readonly Result[]>([]);
  const [isBusy, setBusy] = useState(false);
  const value = parsed(payload);
  const call = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setSent(noteMethod(device.deviceId, { name, payload }));
    const [at, begun] = [Date.now(), performance.now()];
    const body = {
      methodName: name,
      ...(value.json !== undefined && { payload: value.json }),
      responseTimeoutInSeconds: seconds,
    };
    const path = `/twins/${encodeURIComponent(device.deviceId)}/methods`;
    const answer = await api<{ status: number; payload: unknown }>('POST', path, { body }).then(
      ({ data }) => data,
      (error: unknown) => ({ error }),
    );
    const result: Result = { name, at, ms: performance.now() - begun, ...answer };
    setResults((before) => [result, ...before].slice(0, RESULTS_MAX));
    setBusy(false);
  };
  return (
    <div class="grid">
      <form class="card stack" onSubmit={call}>
        <h2>Call a method</h2>
        {sent.length > 0 && (
          <div class="row" role="group" aria-label="Sent before">
            {sent.map((one) => (
              <button
                key={`${one.name} ${one.payload}`}
                type="button"
                class="chip"
                title={one.payload}
                onClick={() => {
                  setName(one.name);
                  setPayload(one.payload);
                }}
              >
                <Text
                  value={one.payload === '' ? one.name : `${one.name} ${one.payload.replace(/\s+/g, ' ').slice(0, 24)}`}
                />
              </button>
            ))}
          </div>
        )}
        <Field label="Method">
          <input
            required
            maxLength={128}
            spellcheck={false}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </Field>
        <Members json={value.json} change={(json) => setPayload(JSON.stringify(json, null, 2))} />
        <Field label="Payload" hint={value.isWrong ? 'This is not JSON.' : 'JSON; empty sends none.'}>
          <textarea
            rows={5}
            spellcheck={false}
            aria-invalid={value.isWrong}
            value={payload}
            onInput={(event) => setPayload(event.currentTarget.value)}
          />
        </Field>
        <Field label="Seconds to wait for the answer">
          <input
            type="number"
            min={5}
            max={300}
            value={seconds}
            onInput={(event) => setSeconds(event.currentTarget.valueAsNumber || 30)}
          />
        </Field>
        <button type="submit" class="primary" disabled={isBusy || name === '' || value.isWrong}>
          {isBusy ? 'Waiting for the device …' : 'Call'}
        </button>
      </form>
      <section class="card stack" aria-live="polite">
        <h2>Answers</h2>
        {results.length === 0 && <p class="quiet">The answers of the device stay here until you leave this tab.</p>}
        {results.map((result) => (
          <Answer key={result.at} result={result} />
        ))}
      </section>
    </div>
  );
}

function parsed(text: string): { readonly json?: unknown; readonly isWrong: boolean } {
  if (text.trim() === '') return { isWrong: false };
  try {
    return { json: JSON.parse(text), isWrong: false };
  } catch {
    return { isWrong: true };
  }
}

/** A field for each simple member of the payload, as it was sent before. */
function Members({ json, change }: { readonly json: unknown; readonly change: (json: object) => void }) {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return null;
  const entries = Object.entries(json);
  const simple = entries.filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
  if (simple.length === 0) return null;
  const set = (name: string, value: unknown): void =>
    change(Object.fromEntries(entries.map(([one, old]) => [one, one === name ? value : old])));
  return (
    <div class="members">
      {simple.map(([name, value]) =>
        typeof value === 'boolean' ? (
          <label key={name} class="check">
            <input type="checkbox" checked={value} onChange={(event) => set(name, event.currentTarget.checked)} />
            <Text value={name} />
          </label>
        ) : (
          <Field key={name} label={name}>
            {typeof value === 'number' ? (
              <input
                type="number"
                step="any"
                value={value}
                onChange={(event) => set(name, event.currentTarget.valueAsNumber || 0)}
              />
            ) : (
              <input value={String(value)} onChange={(event) => set(name, event.currentTarget.value)} />
            )}
          </Field>
        ),
      )}
    </div>
  );
}

function Answer({ result: { name, at, ms, status, payload, error } }: { readonly result: Result }) {
  return (
    <article class="answer stack tight">
      <div class="row">
        <strong>
          <Text value={name} />
        </strong>
        {status !== undefined && <Badge mood={status >= 200 && status < 300 ? 'ok' : 'warn'}>status {status}</Badge>}
        <span class="quiet small numeric">
          <Time at={at} />, {Math.round(ms)} ms
        </span>
        {status !== undefined && <CopyButton text={JSON.stringify(payload)} />}
      </div>
      <Failure error={error} />
      {status !== undefined && (payload == null ? <span class="quiet">no payload</span> : <JsonTree value={payload} />)}
    </article>
  );
}
