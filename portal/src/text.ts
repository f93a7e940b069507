/** Text of strangers, made fit to be looked at. */

// Controls, marks that turn the direction of text, and what takes no room: a name must not look like another one.
/** One such character. */
export const ODD =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]|\u{e0000}/u;
const ODD_PARTS = new RegExp(`(${ODD.source.replace('|\\u{e0000}', '')})`, 'u');

export interface Piece {
  readonly text: string;
  /** The character would not be seen, or would change how others are: `text` is its number, as U+202E. */
  readonly odd: boolean;
}

/** Splits a text into what can be shown as it is, and odd characters by their numbers. Tabs and line feeds stay. */
export function piecesOf(text: string): readonly Piece[] {
  if (!ODD.test(text)) return [{ text, odd: false }];
  return text
    .split(ODD_PARTS)
    .filter((part) => part !== '')
    .map((part) =>
      ODD.test(part)
        ? { text: `U+${(part.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')}`, odd: true }
        : { text: part, odd: false },
    );
}

/** The same as one string, for titles and attributes. */
export const plainText = (text: string): string =>
  piecesOf(text)
    .map(({ text: part, odd }) => (odd ? `⟨${part}⟩` : part))
    .join('');

const counts = new Intl.NumberFormat('en');
const rates = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const smallRates = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });

export const countText = (value: number): string => counts.format(value);
export const rateText = (value: number): string =>
  value >= 100 ? counts.format(Math.round(value)) : (value < 1 ? smallRates : rates).format(value);

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, at] = [bytes, 0];
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at++;
  }
  return `${at === 0 ? value : value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** How long ago, in the largest unit that is not zero. */
export function agoText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
