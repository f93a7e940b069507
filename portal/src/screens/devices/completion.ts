/** Words that may stand at a place of a condition. */

const names = [
  'deviceId',
  'status',
  'connectionState',
  'lastActivityTime',
  'authenticationType',
  'cloudToDeviceMessageCount',
  'capabilities.iotEdge',
  'modelId',
  'tags.',
  'properties.desired.',
  'properties.reported.',
];

const functions = [
  'IS_DEFINED(',
  'IS_NULL(',
  'IS_NUMBER(',
  'IS_STRING(',
  'STARTSWITH(',
  'ENDSWITH(',
  'CONTAINS(',
  'ARRAY_CONTAINS(',
  'LOWER(',
  'UPPER(',
  'LENGTH(',
];

const words = ['AND', 'OR', 'NOT', 'IN [', 'NIN ['];

const values: Readonly<Record<string, readonly string[]>> = {
  status: ["'enabled'", "'disabled'"],
  connectionstate: ["'Connected'", "'Disconnected'"],
  authenticationtype: ["'sas'", "'selfSigned'", "'certificateAuthority'"],
  'capabilities.iotedge': ['true', 'false'],
};

export interface Completion {
  /** What it replaces begins here, and ends at the caret. */
  readonly from: number;
  readonly offers: readonly string[];
}

const OFFERS_MAX = 8;

/** @param learned paths that devices of the list have, as `tags.site` */
export function completionAt(text: string, caret: number, learned: readonly string[]): Completion {
  const before = text.slice(0, caret);
  const isInString = (before.match(/'/g)?.length ?? 0) % 2 === 1;
  const compared = /([A-Za-z.]+)\s*(?:=|!=|<>)\s*('?[A-Za-z]*)$/.exec(before);
  if (compared !== null) {
    const [, name = '', typed = ''] = compared;
    const fitting = (values[name.toLowerCase()] ?? []).filter(
      (value) => value.toLowerCase().startsWith(typed.toLowerCase()) && value !== typed,
    );
    return { from: caret - typed.length, offers: fitting };
  }
  if (isInString) return { from: caret, offers: [] };
  const typed = /[A-Za-z_$][\w$.]*$/.exec(before)?.[0] ?? '';
  const from = caret - typed.length;
  if (typed === '') return { from, offers: before.trim() === '' ? names.slice(0, OFFERS_MAX) : [] };
  const wanted = typed.toLowerCase();
  const offers = [...names.slice(0, 8), ...learned, ...names.slice(8), ...functions, ...words].filter(
    (offer) => offer.toLowerCase().startsWith(wanted) && offer !== typed,
  );
  return { from, offers: [...new Set(offers)].slice(0, OFFERS_MAX) };
}

const PATHS_MAX = 200;
const DEPTH_MAX = 4;

/** Paths of values below `tags`, for completion. */
export function pathsOf(rows: readonly { readonly tags?: unknown }[]): readonly string[] {
  const found = new Set<string>();
  const look = (value: unknown, path: string, depth: number): void => {
    if (found.size >= PATHS_MAX || depth > DEPTH_MAX || typeof value !== 'object' || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      if (!/^[A-Za-z_][\w-]*$/.test(name)) continue;
      const whole = `${path}.${name}`;
      found.add(whole);
      if (!Array.isArray(inner)) look(inner, whole, depth + 1);
    }
  };
  for (const { tags } of rows) look(tags, 'tags', 0);
  return [...found];
}
