/** One telemetry event: a line, and all of it when it is opened. */
import { bytesOf, decoded, type TelemetryEvent } from '../telemetry.ts';
import { bytesText } from '../text.ts';
import { JsonTree } from './json-tree.tsx';
import { Text, Time } from './words.tsx';

export type EventForm = 'json' | 'text' | 'hex';

const TEXT_MAX = 16_384;
const LINE_MAX = 160;
const HEX_MAX = 2048;

export function EventLine(props: {
  readonly event: TelemetryEvent;
  readonly form: EventForm;
  readonly isOpen?: boolean;
  readonly toggle?: () => void;
}) {
  const { event, form, isOpen = false, toggle } = props;
  const { text } = decoded(event);
  const line =
    text === undefined ? `${bytesText(event.bytes)} that are no text` : text.slice(0, LINE_MAX).replace(/\s+/g, ' ');
  const { properties } = event;
  return (
    <article class={isOpen ? 'event open' : 'event'}>
      <button type="button" class="event-head" aria-expanded={isOpen} onClick={toggle} disabled={toggle === undefined}>
        <Time at={event.enqueuedTime} isPrecise />
        <span class="mono event-body">
          <Text value={line} />
        </span>
        {properties.length > 0 && (
          <span class="quiet small">
            {properties.length} {properties.length === 1 ? 'property' : 'properties'}
          </span>
        )}
      </button>
      {isOpen && (
        <div class="event-more">
          <Body event={event} form={form} />
          <dl class="facts small">
            {properties.map(([name, value]) => (
              <Fact key={name} name={name} value={value ?? 'null'} />
            ))}
            {event.contentType !== undefined && <Fact name="content type" value={event.contentType} />}
            {event.contentEncoding !== undefined && <Fact name="encoding" value={event.contentEncoding} />}
            {event.messageId !== undefined && <Fact name="message id" value={event.messageId} />}
            {event.moduleId !== undefined && <Fact name="module" value={event.moduleId} />}
            <Fact name="stored as" value={`partition ${event.partition}, sequence number ${event.sequenceNumber}`} />
            <Fact
              name="size"
              value={`${bytesText(event.bytes)}${event.truncated ? ', only the beginning is shown' : ''}`}
            />
          </dl>
        </div>
      )}
    </article>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <>
      <dt>
        <Text value={name} />
      </dt>
      <dd>
        <Text value={value} />
      </dd>
    </>
  );
}

function Body({ event, form }: { readonly event: TelemetryEvent; readonly form: EventForm }) {
  const { text, json } = decoded(event);
  if (form === 'json' && json !== undefined) return <JsonTree value={json} />;
  if (form !== 'hex' && text !== undefined) {
    return (
      <pre class="raw">
        <Text value={text.slice(0, TEXT_MAX)} />
      </pre>
    );
  }
  return <pre class="raw">{hexLines(bytesOf(event).subarray(0, HEX_MAX))}</pre>;
}

/** Sixteen bytes to a line, with the characters that can be shown. */
function hexLines(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const shown = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${shown}`);
  }
  return lines.join('\n');
}
