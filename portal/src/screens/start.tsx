/** From nothing to the first message: make a device, let it send, see what came. */
import { useState } from 'preact/hooks';
import { Refusal } from '../api.ts';
import { createDevice, getDevice } from '../devices.ts';
import { Field } from '../parts/controls.tsx';
import { EventLine } from '../parts/event-line.tsx';
import { Badge, Failure, Text, useAnswer, useWork } from '../parts/words.tsx';
import { go, href, usePlace } from '../router.ts';
import { useMay } from '../session.ts';
import { SimulatedDevice } from '../simulation/simulated-device.tsx';
import { type TelemetryEvent, useTelemetry } from '../telemetry.ts';
import { Programs } from './programs.tsx';

export function Start() {
  const { query } = usePlace();
  const id = query.get('id');
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>Connect a device</h1>
      </div>
      <ol class="steps">
        <li class="card stack">
          <h2>1 · Make a device</h2>
          {id === null ? <Make /> : <Made id={id} />}
        </li>
        {id !== null && <Send key={id} id={id} />}
      </ol>
    </>
  );
}

function Make() {
  const mayWrite = useMay('RegistryWrite');
  const [id, setId] = useState('my-first-device');
  const { isBusy, error, run } = useWork();
  const make = async (event: Event): Promise<void> => {
    event.preventDefault();
    await run(async () => {
      try {
        await createDevice(id);
      } catch (error) {
        // One that is there already does as well.
        if (!(error instanceof Refusal) || error.code !== 'DeviceAlreadyExists') throw error;
      }
      go(href('/first-run', { id }));
    });
  };
  if (!mayWrite) {
    return (
      <p class="note">
        Your policy may not create devices (RegistryWrite). Choose one from the <a href="/devices">list of devices</a>,
        and open its tab “Connect”.
      </p>
    );
  }
  return (
    <form class="row end" onSubmit={make}>
      <Field label="Id of the device" hint="Letters, digits, and - : . + % _ # * ? ! ( ) , = @ $ '. Capitals count.">
        <input
          required
          maxLength={128}
          pattern="[A-Za-z0-9\-:.+%_#*?!\(\),=@$']+"
          spellcheck={false}
          autocomplete="off"
          value={id}
          onInput={(event) => setId(event.currentTarget.value)}
        />
      </Field>
      <button type="submit" class="primary" disabled={isBusy || id === ''}>
        Create device
      </button>
      <Failure error={error} />
    </form>
  );
}

function Made({ id }: { readonly id: string }) {
  return (
    <div class="row">
      <Badge mood="ok">ready</Badge>
      <a href={href('/device', { id })}>
        <Text value={id} />
      </a>
      <a class="push" href="/first-run">
        Make another one
      </a>
    </div>
  );
}

function Send({ id }: { readonly id: string }) {
  const device = useAnswer(`device ${id}`, (signal) => getDevice(id, signal));
  const mayWatch = useMay('ServiceConnect');
  const [first, setFirst] = useState<TelemetryEvent>();
  const [count, setCount] = useState(0);
  useTelemetry(id, ({ events, leftOut }) => {
    setFirst((before) => before ?? events[0]);
    setCount((before) => before + events.length + leftOut);
  });
  return (
    <>
      <li class="card stack">
        <h2>2 · Let it send</h2>
        <Failure error={device.error} again={device.again} />
        {device.data && <SimulatedDevice device={device.data} />}
        {device.data && <Programs device={device.data} />}
      </li>
      <li class="card stack" aria-live="polite">
        <h2>3 · See its first message</h2>
        {!mayWatch ? (
          <p class="note">Your policy may not read what devices send (ServiceConnect).</p>
        ) : first === undefined ? (
          <p class="quiet">Waiting for a message. This page shows it as soon as the hub has stored it.</p>
        ) : (
          <>
            <div class="row">
              <Badge mood="ok">{count === 1 ? 'the first message is here' : `${count} messages are here`}</Badge>
              <a class="button primary push" href={href('/device', { id, tab: 'telemetry' })}>
                Watch it live
              </a>
            </div>
            <div class="events">
              <EventLine event={first} form="json" isOpen />
            </div>
          </>
        )}
      </li>
    </>
  );
}
