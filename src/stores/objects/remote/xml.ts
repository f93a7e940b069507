/**
 * The little XML that object stores answer with: elements by name, without a tree. Their answers nest no element in one of
 * the same name.
 */

/** What stands in each element of that name, in order, still encoded. */
export function elements(xml: string, name: string): readonly string[] {
  const found: string[] = [];
  const [head, tail] = [`<${name}`, `</${name}>`];
  for (let at = xml.indexOf(head); at !== -1; at = xml.indexOf(head, at)) {
    at += head.length;
    // Another name may begin with this one; an element may have attributes.
    if (!/[\s>/]/.test(xml[at] ?? '')) continue;
    const open = xml.indexOf('>', at);
    if (open === -1) break;
    if (xml[open - 1] === '/') {
      found.push('');
      at = open;
      continue;
    }
    const close = xml.indexOf(tail, open);
    if (close === -1) break;
    found.push(xml.slice(open + 1, close));
    at = close;
  }
  return found;
}

/** The text of the first element of that name. */
export function textIn(xml: string, name: string): string | undefined {
  const [first] = elements(xml, name);
  return first === undefined ? undefined : decoded(first);
}

export function encoded(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decoded(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|([a-z]{2,4}));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return named[name] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
