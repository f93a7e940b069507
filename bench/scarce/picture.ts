/** One picture: bytes of a day on a scarce link, a bar for each way in, split into what they are for. */

export interface Bar {
  readonly label: string;
  readonly parts: readonly number[];
}

const WIDTH = 860;
const LEFT = 300;
const RIGHT = 90;
const ROW = 26;
const TOP = 74;
const colors = ['#1f5fa8', '#c4541a', '#2e8540'];

/** @param parts what the parts of each bar are, in their order */
export function picture(title: string, note: string, parts: readonly string[], bars: readonly Bar[]): string {
  const height = TOP + bars.length * ROW + 20;
  const longest = Math.max(...bars.map(({ parts: values }) => sum(values)));
  const scale = (WIDTH - LEFT - RIGHT) / longest;
  const rows = bars.map(({ label, parts: values }, at) => {
    const y = TOP + at * ROW;
    let x = LEFT;
    const pieces = values.map((value, part) => {
      const piece = `<rect x="${x.toFixed(1)}" y="${y}" width="${(value * scale).toFixed(1)}" height="${ROW - 8}" fill="${colors[part]}"/>`;
      x += value * scale;
      return piece;
    });
    const total = `<text x="${(x + 6).toFixed(1)}" y="${y + 13}">${bytes(sum(values))}</text>`;
    return `<text x="${LEFT - 8}" y="${y + 13}" text-anchor="end">${escaped(label)}</text>${pieces.join('')}${total}`;
  });
  const legend = parts.map(
    (part, at) =>
      `<rect x="${LEFT + at * 190}" y="48" width="12" height="12" fill="${colors[at]}"/><text x="${LEFT + at * 190 + 18}" y="58">${escaped(part)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="12" y="22" font-size="16">${escaped(title)}</text>
<text x="12" y="38" fill="#555">${escaped(note)}</text>
${[...legend, ...rows].join('\n')}
</svg>
`;
}

function bytes(value: number): string {
  return value >= 10_000 ? `${(value / 1000).toFixed(0)} kB` : `${(value / 1000).toFixed(1)} kB`;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
