/** Line plots as SVG text, panels below each other, axes from zero. */

export interface Series {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

const WIDTH = 860;
const PANEL_HEIGHT = 190;
const LEFT = 60;
const RIGHT = 150;
const TOP = 50;
const PLOT_HEIGHT = 130;
const colors = ['#1f5fa8', '#c4541a', '#2e8540', '#7a3e9d'];

/** @param unit what the x axis counts; all panels share its range */
export function linePlot(title: string, unit: string, panels: readonly Panel[]): string {
  const height = TOP + PANEL_HEIGHT * panels.length;
  const xMax = niceMax(
    Math.max(...panels.flatMap(({ series }) => series.flatMap(({ points }) => points.map(([x]) => x)))),
  );
  const body = panels.map((panel, at) => panelOf(panel, TOP + at * PANEL_HEIGHT, xMax, unit)).join('\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="16">${escaped(title)}</text>
${body}
</svg>
`;
}

function panelOf({ title, series }: Panel, top: number, xMax: number, unit: string): string {
  const width = WIDTH - LEFT - RIGHT;
  const yMax = niceMax(Math.max(0, ...series.flatMap(({ points }) => points.map(([, y]) => y))));
  const place = (x: number, y: number): string =>
    `${(LEFT + (x / xMax) * width).toFixed(1)},${(top + PLOT_HEIGHT - (y / yMax) * PLOT_HEIGHT).toFixed(1)}`;
  const grid = [0, 0.5, 1].map((share) => {
    const y = top + PLOT_HEIGHT * (1 - share);
    return `<line x1="${LEFT}" x2="${LEFT + width}" y1="${y}" y2="${y}" stroke="#ddd"/><text x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${tick(share * yMax)}</text>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text x="${LEFT + share * width}" y="${top + PLOT_HEIGHT + 16}" text-anchor="middle">${tick(share * xMax)}</text>`,
  );
  const lines = series.map(({ label, points }, at) => {
    const color = colors[at % colors.length];
    const legend = `<text x="${LEFT + width + 10}" y="${top + 14 + at * 16}" fill="${color}">${escaped(label)}</text>`;
    return `<polyline fill="none" stroke="${color}" stroke-width="1.5" points="${points.map(([x, y]) => place(x, y)).join(' ')}"/>${legend}`;
  });
  const names = `<text x="${LEFT}" y="${top - 8}">${escaped(title)}</text><text x="${LEFT + width + 10}" y="${top + PLOT_HEIGHT + 16}">${escaped(unit)}</text>`;
  return [...grid, ...ticks, ...lines, names].join('\n');
}

/** The next of 1, 1.5, 2, 3, 5, 7.5, 10 times a power of ten. */
function niceMax(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 1.5, 2, 3, 5, 7.5, 10].find((step) => step * power >= value) ?? 10);
}

const tick = (value: number): string => String(Number(value.toPrecision(3)));
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
