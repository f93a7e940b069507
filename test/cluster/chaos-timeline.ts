/** What happened in a run of the chaos suite, second by second: as JSON, and as a picture (SVG). */

export interface ChaosFault {
  readonly kind: string;
  /** Seconds since the beginning. */
  readonly from: number;
  readonly to: number;
}

export interface Timeline {
  readonly seed: number;
  /** Telemetry acknowledged in each second. */
  readonly acknowledged: readonly number[];
  readonly faults: readonly ChaosFault[];
}

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM, LEGEND] = [1000, 260, 60, 30, 34, 24];
const COLOURS = ['#c0392b', '#8e44ad', '#2471a3', '#117a65', '#b7950b', '#d35400', '#5d6d7e', '#7b241c', '#1a5276'];

/** A line of acknowledgements a second over bands of faults, a colour for each kind. */
export function plotOf({ seed, acknowledged, faults }: Timeline): string {
  const kinds = [...new Set(faults.map(({ kind }) => kind))].sort();
  const rows = Math.ceil(kinds.length / 4);
  const height = HEIGHT + rows * LEGEND;
  const most = Math.max(1, ...acknowledged);
  const seconds = Math.max(1, acknowledged.length, ...faults.map(({ to }) => to));
  const x = (second: number): string => (LEFT + (second / seconds) * (WIDTH - LEFT - 10)).toFixed(1);
  const y = (count: number): string => (HEIGHT - BOTTOM - (count / most) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const colour = (kind: string): string => COLOURS[kinds.indexOf(kind) % COLOURS.length];
  const bands = faults.map(({ kind, from, to }) => {
    const width = Math.max(1.5, Number(x(to)) - Number(x(from)));
    return `<rect x="${x(from)}" y="${TOP}" width="${width.toFixed(1)}" height="${HEIGHT - TOP - BOTTOM}" fill="${colour(kind)}" opacity="0.3"/>`;
  });
  const line = acknowledged.map((count, at) => `${x(at + 0.5)},${y(count)}`).join(' ');
  const legend = kinds.map((kind, at) => {
    const [left, top] = [LEFT + (at % 4) * 235, HEIGHT + Math.floor(at / 4) * LEGEND];
    return `<rect x="${left}" y="${top}" width="12" height="12" fill="${colour(kind)}" opacity="0.5"/><text x="${left + 18}" y="${top + 11}">${kind}</text>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const second = Math.round(seconds * share);
    return `<text x="${x(second)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${second} s</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<title>Telemetry acknowledged per second while parts are broken</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="${LEFT}" y="18">Telemetry acknowledged per second, and what was broken meanwhile (seed ${seed})</text>
<text x="${LEFT - 6}" y="${TOP + 10}" text-anchor="end">${most}</text><text x="${LEFT - 6}" y="${HEIGHT - BOTTOM}" text-anchor="end">0</text>
${bands.join('\n')}
<polyline points="${line}" fill="none" stroke="#17202a" stroke-width="1.5"/>
<line x1="${LEFT}" y1="${HEIGHT - BOTTOM}" x2="${WIDTH - 10}" y2="${HEIGHT - BOTTOM}" stroke="#17202a"/>
${[...ticks, ...legend].join('\n')}
</svg>
`;
}
