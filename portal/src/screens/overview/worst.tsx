/** The devices to look at first, worst first: what an operator would go through the list for. */
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { api } from '../../api.ts';
import { endText } from '../../parts/monitoring.ts';
import { Failure, Text, Time, timeOf, useAnswer } from '../../parts/words.tsx';
import { href } from '../../router.ts';
import { useMay } from '../../session.ts';
import { agoText, countText } from '../../text.ts';

interface Happened {
  readonly deviceId: string;
  readonly count: number;
  readonly time: string;
  readonly reason: string;
}

interface WorstDevices {
  readonly time: string;
  readonly refused: readonly (Happened & { readonly sentence: string })[];
  readonly dropped: readonly Happened[];
  readonly silent: readonly { readonly deviceId: string; readonly lastActivityTime: string }[];
  readonly queues: readonly { readonly deviceId: string; readonly count: number }[];
  readonly lookedSince?: string;
}

const SHOWN = 5;
const LOOK_MS = 30_000;

export function Worst() {
  const mayAsk = useMay('ServiceConnect');
  return mayAsk ? <Lists /> : null;
}

function Lists() {
  const { data, error, again } = useAnswer(
    'worst devices',
    async (signal) => (await api<WorstDevices>('GET', '/mooring/v1/worst-devices', { signal })).data,
  );
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) again();
    }, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  if (data === undefined) return <Failure error={error} again={again} />;
  const { time, refused, dropped, silent, queues, lookedSince } = data;
  const silence = (at: string): string => agoText((timeOf(time) ?? 0) - (timeOf(at) ?? 0));
  const isWell = [refused, dropped, silent, queues].every(({ length }) => length === 0);
  return (
    <section class="card stack tight" aria-label="Where to look first">
      <h2>Where to look first</h2>
      <Failure error={error} again={again} />
      {isWell ? (
        <p class="quiet">No device is refused, loses its connection, is silent for long or lets commands wait.</p>
      ) : (
        <div class="grid fields">
          <List title="Refused most often" rows={refused}>
            {({ deviceId, count, sentence }) => (
              <Row key={deviceId} id={deviceId} tab="why" figure={`${countText(count)} ×`} why={sentence} />
            )}
          </List>
          <List title="Lost their connection most often" rows={dropped}>
            {({ deviceId, count, reason }) => (
              <Row key={deviceId} id={deviceId} tab="history" figure={`${countText(count)} ×`} why={endText(reason)} />
            )}
          </List>
          <List title="Silent for longest" rows={silent}>
            {({ deviceId, lastActivityTime }) => (
              <Row key={deviceId} id={deviceId} tab="history" figure={silence(lastActivityTime)} />
            )}
          </List>
          <List title="Most commands waiting" rows={queues}>
            {({ deviceId, count }) => <Row key={deviceId} id={deviceId} tab="commands" figure={countText(count)} />}
          </List>
        </div>
      )}
      {lookedSince !== undefined && (
        <p class="quiet small">
          Refusals and lost connections since <Time at={timeOf(lookedSince)} />.
        </p>
      )}
    </section>
  );
}

function List<Item>(props: {
  readonly title: string;
  readonly rows: readonly Item[];
  readonly children: (row: Item) => ComponentChildren;
}) {
  const { title, rows, children } = props;
  if (rows.length === 0) return null;
  return (
    <div>
      <h3>{title}</h3>
      <ol class="plain worst">{rows.slice(0, SHOWN).map(children)}</ol>
    </div>
  );
}

function Row(props: { readonly id: string; readonly tab: string; readonly figure: string; readonly why?: string }) {
  const { id, tab, figure, why } = props;
  return (
    <li>
      <div class="row nowrap">
        <a class="one-line" href={href('/device', { id, tab })}>
          <Text value={id} />
        </a>
        <span class="push numeric">{figure}</span>
      </div>
      {why !== undefined && (
        <p class="quiet small">
          <Text value={why} />
        </p>
      )}
    </li>
  );
}
