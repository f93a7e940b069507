/** The list itself: of the rows that are there, only those in sight are in the page. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Badge, Text, Time, timeOf } from '../../parts/words.tsx';
import { href } from '../../router.ts';
import type { Row, Rows } from './rows.ts';

const ROW_PX = 40;
const BEYOND = 12;
const NEAR_END = 150;
const TAGS_MAX = 120;

export interface Selection {
  readonly ids: ReadonlySet<string>;
  /** All that match, seen or not. */
  readonly isAll: boolean;
}

export const noSelection: Selection = { ids: new Set(), isAll: false };

export function Table(props: {
  readonly list: Rows;
  readonly selection: Selection;
  readonly select: (selection: Selection) => void;
}) {
  const { list, selection, select } = props;
  const { rows } = list;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const look = (): void => {
    const element = box.current;
    if (element !== null) setView({ top: element.scrollTop, height: element.clientHeight });
  };
  useEffect(() => {
    const size = new ResizeObserver(look);
    if (box.current !== null) size.observe(box.current);
    return () => size.disconnect();
  }, []);
  const text = list.query.text;
  useEffect(() => {
    box.current?.scrollTo(0, 0);
  }, [text]);
  const from = Math.max(0, Math.floor(view.top / ROW_PX) - BEYOND);
  const to = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW_PX) + BEYOND);
  useEffect(() => {
    if (to > rows.length - NEAR_END) list.more();
  });
  const isEvery = rows.length > 0 && (selection.isAll || rows.every(({ deviceId }) => selection.ids.has(deviceId)));
  const toggle = (id: string): void => {
    const ids = new Set(selection.isAll ? rows.map(({ deviceId }) => deviceId) : selection.ids);
    if (!ids.delete(id)) ids.add(id);
    select({ ids, isAll: false });
  };
  const toggleAll = (): void => select(isEvery ? noSelection : { ids: new Set(), isAll: true });
  return (
    // A scrolling region must be reached by the keyboard.
    <div ref={box} class="list" onScroll={look} tabIndex={0} role="region" aria-label="Devices">
      <table aria-rowcount={list.count === undefined ? -1 : list.count + 1} aria-busy={list.isLoading}>
        <thead>
          <tr>
            <th class="tick">
              <input type="checkbox" aria-label="Select all that match" checked={isEvery} onChange={toggleAll} />
            </th>
            <th>Device</th>
            <th>State</th>
            <th class="wide-only">Last activity</th>
            <th class="wide-only">Waiting</th>
            <th class="wide-only">Tags</th>
          </tr>
        </thead>
        <tbody>
          <Room rows={from} />
          {rows.slice(from, to).map((row, at) => (
            <Line
              key={row.deviceId}
              row={row}
              at={from + at}
              isSelected={selection.isAll || selection.ids.has(row.deviceId)}
              toggle={toggle}
            />
          ))}
          <Room rows={rows.length - to} />
        </tbody>
      </table>
    </div>
  );
}

/** In one cell: columns that a narrow window hides must not come back. Preact adds no unit to numbers. */
function Room({ rows }: { readonly rows: number }) {
  if (rows <= 0) return null;
  return (
    <tr>
      <td class="room" style={{ height: `${rows * ROW_PX}px` }} />
    </tr>
  );
}

function Line(props: {
  readonly row: Row;
  readonly at: number;
  readonly isSelected: boolean;
  readonly toggle: (id: string) => void;
}) {
  const { row, at, isSelected, toggle } = props;
  const isConnected = row.connectionState === 'Connected';
  return (
    <tr aria-rowindex={at + 2} class={isSelected ? 'selected' : ''}>
      <td class="tick">
        <input
          type="checkbox"
          aria-label={`Select ${row.deviceId}`}
          checked={isSelected}
          onChange={() => toggle(row.deviceId)}
        />
      </td>
      <td class="one-line">
        <a href={href('/device', { id: row.deviceId })}>
          <Text value={row.deviceId} />
        </a>
      </td>
      <td>
        {row.status === 'disabled' ? (
          <Badge mood="bad">disabled</Badge>
        ) : (
          <Badge mood={isConnected ? 'ok' : ''}>{isConnected ? 'connected' : 'away'}</Badge>
        )}
      </td>
      <td class="wide-only one-line">
        <Time at={timeOf(row.lastActivityTime)} />
      </td>
      <td class="wide-only numeric">{row.cloudToDeviceMessageCount || ''}</td>
      <td class="wide-only one-line quiet mono small">
        <Text value={tagsText(row.tags)} />
      </td>
    </tr>
  );
}

function tagsText(tags: unknown): string {
  if (typeof tags !== 'object' || tags === null) return '';
  return Object.entries(tags)
    .filter(([name]) => !name.startsWith('$'))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('  ')
    .slice(0, TAGS_MAX);
}
