/** What can be done to the chosen devices, or to all that match; and how devices are created, one or many. */
import { useRef, useState } from 'preact/hooks';
import type { BulkItem, ManyAction } from '../../devices.ts';
import { Dialog, download, Field } from '../../parts/controls.tsx';
import { Failure, Text } from '../../parts/words.tsx';
import { countText } from '../../text.ts';
import type { Filter } from './filter.ts';
import { changeAll, changeState, csvOf, idsOf, type Progress } from './fleet-work.ts';
import type { Selection } from './table.tsx';

export type Action = 'enable' | 'disable' | 'tag' | 'delete' | 'create' | 'export';

const titles: Readonly<Record<Action, string>> = {
  enable: 'Enable devices',
  disable: 'Disable devices',
  tag: 'Set a tag',
  delete: 'Delete devices',
  create: 'Create devices',
  export: 'Export devices',
};

const MANY_MAX = 10_000;
const FAILURES_SHOWN = 20;

export function ActionDialog(props: {
  readonly action: Action;
  readonly filter: Filter;
  readonly selection: Selection;
  readonly count: number;
  readonly close: (changed: boolean) => void;
}) {
  const { action, filter, selection, count, close } = props;
  const end = useRef(new AbortController());
  const [words, setWords] = useState<string>();
  const [progress, setProgress] = useState<Progress>();
  const [error, setError] = useState<unknown>();
  const [isOver, setOver] = useState(false);
  const [isRunning, setRunning] = useState(false);

  const run = async (work: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    setRunning(true);
    try {
      await work(end.current.signal);
    } catch (caught) {
      if (!end.current.signal.aborted) setError(caught);
    }
    setRunning(false);
    setOver(true);
  };
  const chosen = async (signal: AbortSignal): Promise<readonly string[]> =>
    selection.isAll ? idsOf(filter, signal, (found) => setWords(`${countText(found)} found`)) : [...selection.ids];
  const change = (item: (id: string) => BulkItem): Promise<void> =>
    run(async (signal) => changeAll(await chosen(signal), item, signal, setProgress));
  const changeAs = (state: ManyAction): Promise<void> =>
    run(async (signal) => changeState(state, await chosen(signal), signal, setProgress));
  const create = (ids: readonly string[]): Promise<void> =>
    run((signal) => changeAll(ids, (id) => ({ id, importMode: 'create' }), signal, setProgress));
  const exported = (): Promise<void> =>
    run(async (signal) => {
      const lines = await csvOf(filter, signal, (found) => setWords(`${countText(found)} devices`));
      download('devices.csv', lines, 'text/csv');
      setWords(`${countText(lines.length - 1)} devices are in devices.csv.`);
    });
  const stop = (): void => {
    end.current.abort();
    close(progress !== undefined);
  };
  const what = { count, isRunning, change, changeAs, create, exported };
  return (
    <Dialog title={titles[action]} close={stop}>
      {!isOver && !isRunning && <Form action={action} {...what} />}
      <div class="stack tight" aria-live="polite">
        {words !== undefined && progress === undefined && <p>{words}</p>}
        {progress && (
          <>
            <progress max={progress.total} value={progress.done} aria-label="Devices done" />
            <p class="numeric">
              {countText(progress.done)} of {countText(progress.total)} done
              {progress.failures.length > 0 && `, ${countText(progress.failures.length)} failed`}
            </p>
          </>
        )}
      </div>
      {progress && progress.failures.length > 0 && (
        <ul class="plain small failures">
          {progress.failures.slice(0, FAILURES_SHOWN).map(({ id, why }) => (
            <li key={id}>
              <strong>
                <Text value={id} />
              </strong>
              : <Text value={why} />
            </li>
          ))}
          {progress.failures.length > FAILURES_SHOWN && <li>… and {progress.failures.length - FAILURES_SHOWN} more</li>}
        </ul>
      )}
      <Failure error={error} />
      <div class="foot">
        <button type="button" onClick={stop}>
          {isOver ? 'Close' : 'Cancel'}
        </button>
      </div>
    </Dialog>
  );
}

interface FormProps {
  readonly action: Action;
  readonly count: number;
  change(item: (id: string) => BulkItem): Promise<void>;
  changeAs(state: ManyAction): Promise<void>;
  create(ids: readonly string[]): Promise<void>;
  exported(): Promise<void>;
}

function Form({ action, count, change, changeAs, create, exported }: FormProps) {
  const many = `${countText(count)} ${count === 1 ? 'device' : 'devices'}`;
  if (action === 'create') return <CreateForm create={create} />;
  if (action === 'tag') return <TagForm many={many} change={change} />;
  const forms: Readonly<Record<typeof action, readonly [string, string, () => Promise<void>]>> = {
    enable: [`${many} may connect again.`, `Enable ${many}`, () => changeAs('enable')],
    disable: [
      `${many} lose their connections, and cannot connect until they are enabled. They keep everything else.`,
      `Disable ${many}`,
      () => changeAs('disable'),
    ],
    delete: [
      `${many} are deleted with their keys, twins and waiting commands. This cannot be undone.`,
      `Delete ${many}`,
      () => changeAs('delete'),
    ],
    export: [`All devices that match, as CSV. It holds no keys.`, 'Export', exported],
  };
  const [text, label, go] = forms[action];
  return (
    <>
      <p>{text}</p>
      <button type="button" class={action === 'delete' ? 'danger' : 'primary'} onClick={() => void go()}>
        {label}
      </button>
    </>
  );
}

function TagForm({ many, change }: { readonly many: string; readonly change: FormProps['change'] }) {
  const [name, setName] = useState('');
  const [text, setText] = useState('');
  const send = (event: Event): void => {
    event.preventDefault();
    // A name such as `__proto__` must become a member, too.
    const tags = Object.fromEntries([[name, text === '' ? null : tagValue(text)]]);
    void change((id) => ({ id, importMode: 'updateTwin', tags }));
  };
  return (
    <form class="stack" onSubmit={send}>
      <Field label="Name">
        <input required value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </Field>
      <Field label="Value" hint="Text, a number, true or false. Empty removes the tag.">
        <input value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </Field>
      <button type="submit" class="primary">
        {text === '' ? 'Remove the tag from' : 'Set the tag of'} {many}
      </button>
    </form>
  );
}

function tagValue(text: string): unknown {
  return /^(true|false|-?\d+(\.\d+)?)$/.test(text) ? JSON.parse(text) : text;
}

function CreateForm({ create }: { readonly create: FormProps['create'] }) {
  const [prefix, setPrefix] = useState('device-');
  const [first, setFirst] = useState(1);
  const [count, setCount] = useState(10);
  const last = first + count - 1;
  const idOf = (n: number): string => `${prefix}${String(n).padStart(String(last).length, '0')}`;
  const send = (event: Event): void => {
    event.preventDefault();
    void create(Array.from({ length: count }, (_none, at) => idOf(first + at)));
  };
  return (
    <form class="stack" onSubmit={send}>
      <Field label="Ids begin with">
        <input required maxLength={110} value={prefix} onInput={(event) => setPrefix(event.currentTarget.value)} />
      </Field>
      <div class="row">
        <Field label="From number">
          <input
            type="number"
            required
            min={0}
            value={first}
            onInput={(event) => setFirst(event.currentTarget.valueAsNumber)}
          />
        </Field>
        <Field label={`How many (up to ${countText(MANY_MAX)})`}>
          <input
            type="number"
            required
            min={1}
            max={MANY_MAX}
            value={count}
            onInput={(event) => setCount(event.currentTarget.valueAsNumber)}
          />
        </Field>
      </div>
      <p class="quiet small">
        {Number.isNaN(last)
          ? ''
          : count === 1
            ? `Creates ${idOf(first)}.`
            : `Creates ${idOf(first)} to ${idOf(last)}, with keys that the hub makes.`}
      </p>
      <button type="submit" class="primary">
        Create {Number.isNaN(count) ? '' : countText(count)} {count === 1 ? 'device' : 'devices'}
      </button>
    </form>
  );
}
