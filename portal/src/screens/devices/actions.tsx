/** What can be done to the chosen devices, or to all that match; and how devices are created, one or many. */
import { useRef, useState } from 'preact/hooks';
import { type BulkChange, type BulkProgress, followChange, NAMED_MAX, startChange } from '../../bulk-changes.ts';
import { Dialog, download, Field } from '../../parts/controls.tsx';
import { Failure } from '../../parts/words.tsx';
import { countText } from '../../text.ts';
import { ChangeState } from './changes.tsx';
import { csvOf } from './export.ts';
import { conditionOf, type Filter } from './filter.ts';
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

/** What is done, of a `BulkChange`; the rest of it says to which devices. */
type Work = Pick<BulkChange, 'action' | 'tags' | 'statusReason'>;

const REASON_CHARS_MAX = 128;

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
  const [progress, setProgress] = useState<BulkProgress>();
  const [error, setError] = useState<unknown>();
  const [isRunning, setRunning] = useState(false);

  const run = async (work: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    setRunning(true);
    try {
      await work(end.current.signal);
    } catch (caught) {
      if (!end.current.signal.aborted) setError(caught);
    }
    setRunning(false);
  };
  const start = (change: BulkChange): Promise<void> =>
    run(async (signal) => {
      const begun = await startChange(change);
      setProgress(begun);
      await followChange(begun.id, signal, setProgress);
    });
  const change = (work: Work): Promise<void> =>
    start({ ...work, ...(selection.isAll ? { condition: conditionOf(filter) } : { ids: [...selection.ids] }) });
  const create = (ids: readonly string[]): Promise<void> => start({ action: 'create', ids });
  const exported = (): Promise<void> =>
    run(async (signal) => {
      const lines = await csvOf(filter, signal, (found) => setWords(`${countText(found)} devices`));
      download('devices.csv', lines, 'text/csv');
      setWords(`${countText(lines.length - 1)} devices are in devices.csv.`);
    });
  const leave = (): void => {
    end.current.abort();
    close(progress !== undefined);
  };
  const isOver = !isRunning && (words !== undefined || progress !== undefined || error !== undefined);
  const isOfHub = progress !== undefined && isRunning;
  return (
    <Dialog title={titles[action]} close={leave}>
      {!isOver && !isRunning && <Form action={action} {...{ count, change, create, exported }} />}
      <div class="stack tight" aria-live="polite">
        {words !== undefined && <p>{words}</p>}
        {progress && <ChangeState change={progress} />}
        {isOfHub && (
          <p class="quiet small">
            The hub goes on by itself, also when this page is closed. How far it has come stands above the list of
            devices.
          </p>
        )}
      </div>
      <Failure error={error} />
      <div class="foot">
        <button type="button" onClick={leave}>
          {isOver || isOfHub ? 'Close' : 'Cancel'}
        </button>
      </div>
    </Dialog>
  );
}

interface FormProps {
  readonly action: Action;
  readonly count: number;
  change(work: Work): Promise<void>;
  create(ids: readonly string[]): Promise<void>;
  exported(): Promise<void>;
}

function Form({ action, count, change, create, exported }: FormProps) {
  const many = `${countText(count)} ${count === 1 ? 'device' : 'devices'}`;
  if (action === 'create') return <CreateForm create={create} />;
  if (action === 'tag') return <TagForm many={many} change={change} />;
  if (action === 'disable') return <DisableForm many={many} change={change} />;
  const forms: Readonly<Record<typeof action, readonly [string, string, () => Promise<void>]>> = {
    enable: [`${many} may connect again.`, `Enable ${many}`, () => change({ action: 'enable' })],
    delete: [
      `${many} are deleted with their keys, twins and waiting commands. This cannot be undone.`,
      `Delete ${many}`,
      () => change({ action: 'delete' }),
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

interface ManyProps {
  readonly many: string;
  readonly change: FormProps['change'];
}

function DisableForm({ many, change }: ManyProps) {
  const [statusReason, setReason] = useState('');
  const send = (event: Event): void => {
    event.preventDefault();
    void change({ action: 'disable', ...(statusReason !== '' && { statusReason }) });
  };
  return (
    <form class="stack" onSubmit={send}>
      <p>{many} lose their connections, and cannot connect until they are enabled. They keep everything else.</p>
      <Field label="Reason" hint="Shown with each device. Empty leaves the one that it has.">
        <input
          maxLength={REASON_CHARS_MAX}
          value={statusReason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
      </Field>
      <button type="submit" class="primary">
        Disable {many}
      </button>
    </form>
  );
}

function TagForm({ many, change }: ManyProps) {
  const [name, setName] = useState('');
  const [text, setText] = useState('');
  const send = (event: Event): void => {
    event.preventDefault();
    // A name such as `__proto__` must become a member, too.
    const tags = Object.fromEntries([[name, text === '' ? null : tagValue(text)]]);
    void change({ action: 'tag', tags });
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
        <Field label={`How many (up to ${countText(NAMED_MAX)})`}>
          <input
            type="number"
            required
            min={1}
            max={NAMED_MAX}
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
