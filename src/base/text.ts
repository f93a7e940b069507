/**
 * The same text, in memory of its own. The engine keeps a part that was cut out of a longer text as a place in that text; so
 * a name that outlives a request would keep all of it alive, the token it was cut out of included. For names that are kept.
 */
export function ownText(text: string): string {
  // Only bytes that are decoded anew are sure to be a copy. Two bytes a character: nothing is replaced, not even half a pair.
  return Buffer.from(text, 'utf16le').toString('utf16le');
}
