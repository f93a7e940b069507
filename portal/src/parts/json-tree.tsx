/** A JSON value as a tree that opens and closes. What it holds is of strangers: text, and bounded. */
import { Text } from './words.tsx';

const ENTRIES_MAX = 200;
const DEPTH_MAX = 20;
const STRING_MAX = 4096;

export function JsonTree({ value }: { readonly value: unknown }) {
  return (
    <div class="tree mono">
      <Node value={value} depth={0} />
    </div>
  );
}

function Node({ name, value, depth }: { readonly name?: string; readonly value: unknown; readonly depth: number }) {
  const label =
    name === undefined ? null : (
      <>
        <span class="tree-name">
          <Text value={name} />
        </span>
        :{' '}
      </>
    );
  if (typeof value !== 'object' || value === null) {
    return (
      <div>
        {label}
        <Leaf value={value} />
      </div>
    );
  }
  const entries = Object.entries(value);
  const isList = Array.isArray(value);
  const sign = isList ? `[${entries.length}]` : `{${entries.length}}`;
  if (entries.length === 0 || depth >= DEPTH_MAX) {
    return (
      <div>
        {label}
        <span class="quiet">{depth >= DEPTH_MAX ? '…' : isList ? '[]' : '{}'}</span>
      </div>
    );
  }
  const children = entries
    .slice(0, ENTRIES_MAX)
    .map(([inner, one]) => <Node key={inner} name={inner} value={one} depth={depth + 1} />);
  if (depth === 0) return <div>{children}</div>;
  return (
    <details open={depth < 3}>
      <summary>
        {label}
        <span class="quiet">{sign}</span>
      </summary>
      <div class="tree-inner">
        {children}
        {entries.length > ENTRIES_MAX && <div class="quiet">… and {entries.length - ENTRIES_MAX} more</div>}
      </div>
    </details>
  );
}

function Leaf({ value }: { readonly value: unknown }) {
  if (typeof value === 'string') {
    return (
      <span class="tree-text">
        "<Text value={value.slice(0, STRING_MAX)} />"{value.length > STRING_MAX && ' …'}
      </span>
    );
  }
  return <span class={typeof value === 'number' ? 'tree-number' : 'quiet'}>{String(value)}</span>;
}
