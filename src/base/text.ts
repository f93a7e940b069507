/**
 * The same text, in memory of its own. The engine keeps a part that was cut out of a longer text as a place in that text; so
 * a name that outlives a request would keep all of it alive, the token it was cut out of included. For names that are kept.
 */
export function ownText(text: string): string {
  // Only a text that is decoded from bytes is sure to be a copy. Two bytes a character: nothing is replaced, not even half a pair.
  return Buffer.from(text, 'utf16le').toString('utf16le');
}

/**
 * A text that may stand where only visible ASCII may, as in an AMQP symbol: everything else in it is percent-encoded, so that
 * no reader gets other characters than were meant.
 */
export function asciiText(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  return text.toWellFormed().replace(/[^\x20-\x7e]+/g, (part) => encodeURIComponent(part));
}

/** The text with a full stop, where another sentence is to follow it. */
export function asSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
