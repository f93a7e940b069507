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

/** A long run is drawn in strips below each other, of so many seconds at most. */
const STRIP_SECONDS = 700;
const [WIDTH, LEFT, RIGHT, TOP] = [1000, 190, 28, 40];
/** Of a strip: the curve, a row for each kind of fault, and room for the times. */
const [CURVE, ROW, GAP] = [90, 13, 40];
/** By what is broken; a cut between two parts is none of them. */
const COLOURS: readonly (readonly [part: RegExp, colour: string])[] = [
  [/\||cut/, '#b9770e'],
  [/PostgreSQL/, '#b03a2e'],
  [/broker/, '#1e8449'],
  [/./, '#2471a3'],
];
const colourOf = (kind: string): string => COLOURS.find(([part]) => part.test(kind))?.[1] ?? '#000000';

/** Acknowledgements a second, and below them when each kind of fault was. */
export function plotOf({ seed, acknowledged, faults }: Timeline): string {
  const byColour = (kind: string): number => COLOURS.findIndex(([, colour]) => colour === colourOf(kind));
  const kinds = [...new Set(faults.map(({ kind }) => kind))].sort(
    (a, b) => byColour(b) - byColour(a) || a.localeCompare(b),
  );
  const seconds = Math.max(1, acknowledged.length, ...faults.map(({ to }) => Math.ceil(to)));
  const strips = Math.ceil(seconds / STRIP_SECONDS);
  const span = Math.ceil(seconds / strips);
  const most = Math.max(1, ...acknowledged);
  const stripHeight = CURVE + kinds.length * ROW + GAP;
  const height = TOP + strips * stripHeight;
  const body = Array.from({ length: strips }, (_, at) =>
    stripOf({ acknowledged, faults, kinds, most, from: at * span, span, top: TOP + at * stripHeight }),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">
<title>Telemetry acknowledged per second while parts are broken</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="${LEFT}" y="18" font-size="13">Telemetry acknowledged per second, and what was broken meanwhile (seed ${seed})</text>
${body.join('\n')}
</svg>
`;
}

interface Strip extends Omit<Timeline, 'seed'> {
  readonly kinds: readonly string[];
  /** Acknowledgements of the best second: the height of all curves. */
  readonly most: number;
  readonly from: number;
  readonly span: number;
  /** Pixels from the upper end of the picture. */
  readonly top: number;
}

function stripOf({ acknowledged, faults, kinds, most, from, span, top }: Strip): string {
  const x = (second: number): number => {
    const share = Math.min(1, Math.max(0, (second - from) / span));
    return Math.round(10 * (LEFT + share * (WIDTH - LEFT - RIGHT))) / 10;
  };
  const floor = top + CURVE;
  const curve = acknowledged
    .slice(from, from + span)
    .map((count, at) => `${x(from + at + 0.5)},${(floor - (count / most) * (CURVE - 8)).toFixed(1)}`);
  const rows = kinds.map((kind, at) => {
    const y = floor + 6 + at * ROW;
    const bars = faults
      .filter((fault) => fault.kind === kind && fault.to > from && fault.from < from + span)
      .map(({ from: begin, to }) => {
        const width = Math.max(2, x(to) - x(begin)).toFixed(1);
        return `<rect x="${x(begin)}" y="${y}" width="${width}" height="${ROW - 3}" fill="${colourOf(kind)}"/>`;
      });
    const line = `<line x1="${LEFT}" y1="${y + ROW / 2 - 1}" x2="${WIDTH - RIGHT}" y2="${y + ROW / 2 - 1}" stroke="#e5e8e8"/>`;
    return [line, `<text x="${LEFT - 8}" y="${y + ROW - 4}" text-anchor="end">${kind}</text>`, ...bars].join('');
  });
  const foot = floor + kinds.length * ROW + 20;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const second = Math.round(from + span * share);
    return `<text x="${x(second)}" y="${foot}" text-anchor="middle">${second} s</text>`;
  });
  return `<text x="${LEFT - 8}" y="${top + 14}" text-anchor="end">${most} a second</text>
<line x1="${LEFT}" y1="${floor}" x2="${WIDTH - RIGHT}" y2="${floor}" stroke="#17202a"/>
${rows.join('\n')}
<polyline points="${curve.join(' ')}" fill="none" stroke="#17202a" stroke-width="1.2"/>
${ticks.join('')}`;
}
