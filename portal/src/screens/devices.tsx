/** All devices: found by a part of their id, by filters, and by a condition; and what is done to many of them. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Empty, Failure } from '../parts/words.tsx';
import { keep, kept } from '../preferences.ts';
import { go, usePlace } from '../router.ts';
import { useMay } from '../session.ts';
import { countText } from '../text.ts';
import { type Action, ActionDialog } from './devices/actions.tsx';
import { Changes } from './devices/changes.tsx';
import { pathsOf } from './devices/completion.ts';
import { addressOf, chips, type Filter, faultOf, filterOf } from './devices/filter.ts';
import { QueryBox } from './devices/query-box.tsx';
import { useRows } from './devices/rows.ts';
import { noSelection, type Selection, Table } from './devices/table.tsx';

const TYPED_MS = 120;

export function Devices() {
  const { query } = usePlace();
  const mayQuery = useMay('ServiceConnect');
  if (!mayQuery) {
    return (
      <>
        <h1 tabIndex={-1}>Devices</h1>
        <p class="note">Your policy may not query devices (ServiceConnect). Log in with another one.</p>
      </>
    );
  }
  return <List filter={filterOf(query)} />;
}

function List({ filter }: { readonly filter: Filter }) {
  const list = useRows(filter);
  const mayWrite = useMay('RegistryWrite');
  const mayRead = useMay('RegistryRead');
  const [selection, setSelection] = useState<Selection>(noSelection);
  const [action, setAction] = useState<Action>();
  const text = list.query.text;
  useEffect(() => setSelection(noSelection), [text]);
  const learned = useMemo(() => pathsOf(list.rows.slice(0, 500)), [list.rows]);
  const message = list.error instanceof Error ? list.error.message : '';
  const fault = message === '' ? undefined : faultOf(message, list.query, filter.where);
  const set = (changes: Partial<Filter>, replace = false): void =>
    go(addressOf({ ...filter, ...changes }), { replace });
  const chosen = selection.isAll ? (list.count ?? list.rows.length) : selection.ids.size;
  const isFiltered = filter.find !== '' || filter.where !== '' || filter.is.length > 0;
  return (
    <>
      <div class="head">
        <div class="row">
          <h1 tabIndex={-1}>Devices</h1>
          <span class="quiet numeric" role="status">
            {list.count === undefined ? '' : `${countText(list.count)}${isFiltered ? ' match' : ''}`}
          </span>
        </div>
        <div class="row">
          <button type="button" onClick={() => setAction('export')}>
            Export CSV
          </button>
          {mayWrite && (
            <button type="button" class="primary" onClick={() => setAction('create')}>
              Create devices
            </button>
          )}
        </div>
      </div>
      <section class="card stack tight" aria-label="Search">
        <div class="search">
          <Find find={filter.find} change={(find) => set({ find }, true)} />
          <QueryBox where={filter.where} learned={learned} fault={fault} apply={(where) => set({ where })} />
        </div>
        <div class="row" role="group" aria-label="Filters">
          {chips.map(({ id, label }) => (
            <button
              key={id}
              type="button"
              class="chip"
              aria-pressed={filter.is.includes(id)}
              onClick={() =>
                set({ is: filter.is.includes(id) ? filter.is.filter((one) => one !== id) : [...filter.is, id] })
              }
            >
              {label}
            </button>
          ))}
          {isFiltered && (
            <button type="button" class="flat tiny" onClick={() => go('/devices')}>
              Clear all
            </button>
          )}
          <Saved filter={filter} />
        </div>
      </section>
      {mayRead && <Changes round={action} mayWrite={mayWrite} ended={list.again} />}
      {fault === undefined && <Failure error={list.error} again={list.again} />}
      {chosen > 0 && (
        <section class="row bulk" aria-label="Chosen devices">
          <strong class="numeric">{countText(chosen)} chosen</strong>
          {selection.isAll && <span class="quiet small">all that match, seen or not</span>}
          {mayWrite && (
            <span class="row push">
              {(['enable', 'disable', 'tag', 'delete'] as const).map((one) => (
                <button
                  key={one}
                  type="button"
                  class={one === 'delete' ? 'danger tiny' : 'tiny'}
                  onClick={() => setAction(one)}
                >
                  {{ enable: 'Enable', disable: 'Disable', tag: 'Tag', delete: 'Delete' }[one]}
                </button>
              ))}
            </span>
          )}
        </section>
      )}
      {list.rows.length === 0 && !list.isLoading && list.error === undefined ? (
        <div class="card">
          {isFiltered ? (
            <Empty title="No device matches">
              <button type="button" onClick={() => go('/devices')}>
                Show all devices
              </button>
            </Empty>
          ) : (
            <Empty title="This hub has no device yet">
              <a class="button primary" href="/first-run">
                Connect a device
              </a>
            </Empty>
          )}
        </div>
      ) : (
        list.rows.length > 0 && <Table list={list} selection={selection} select={setSelection} />
      )}
      {action !== undefined && (
        <ActionDialog
          action={action}
          filter={filter}
          selection={selection}
          count={chosen}
          close={(changed) => {
            setAction(undefined);
            if (!changed) return;
            setSelection(noSelection);
            list.again();
          }}
        />
      )}
    </>
  );
}

/** Searches while it is typed. */
function Find({ find, change }: { readonly find: string; readonly change: (find: string) => void }) {
  const [text, setText] = useState(find);
  useEffect(() => setText(find), [find]);
  useEffect(() => {
    if (text === find) return;
    const timer = setTimeout(() => change(text), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      type="search"
      aria-label="Id contains"
      placeholder="Id contains …"
      spellcheck={false}
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  );
}

interface SavedQuery {
  readonly name: string;
  readonly address: string;
}

const SAVED = 'queries';
const SAVED_MAX = 50;

/** Kept by this browser: a query is no secret. */
function Saved({ filter }: { readonly filter: Filter }) {
  const [saved, setSaved] = useState(() => kept<readonly SavedQuery[]>(SAVED, []));
  const [name, setName] = useState<string>();
  const address = addressOf(filter);
  const current = saved.find((one) => one.address === address);
  const change = (next: readonly SavedQuery[]): void => {
    setSaved(next);
    keep(SAVED, next);
  };
  const save = (event: Event): void => {
    event.preventDefault();
    if (name === undefined || name.trim() === '') return;
    const others = saved.filter((one) => one.name !== name.trim());
    change([{ name: name.trim(), address }, ...others].slice(0, SAVED_MAX));
    setName(undefined);
  };
  return (
    <span class="row push">
      {saved.length > 0 && (
        <select
          aria-label="Saved queries"
          value={current?.address ?? ''}
          onChange={(event) => event.currentTarget.value !== '' && go(event.currentTarget.value)}
        >
          <option value="">Saved queries …</option>
          {saved.map((one) => (
            <option key={one.name} value={one.address}>
              {one.name}
            </option>
          ))}
        </select>
      )}
      {current !== undefined && (
        <button type="button" class="flat tiny" onClick={() => change(saved.filter((one) => one !== current))}>
          Forget “{current.name}”
        </button>
      )}
      {current === undefined && address !== '/devices' && name === undefined && (
        <button type="button" class="flat tiny" onClick={() => setName('')}>
          Save this query
        </button>
      )}
      {name !== undefined && (
        <form class="row" onSubmit={save}>
          <input aria-label="Name of the query" value={name} onInput={(event) => setName(event.currentTarget.value)} />
          <button type="submit" class="tiny">
            Save
          </button>
        </form>
      )}
    </span>
  );
}
