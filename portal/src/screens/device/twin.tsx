/** The twin: what a back end wants, what the device reports. It is saved only if it is still the one that was read. */
import { useEffect, useState } from 'preact/hooks';
import { api, Refusal } from '../../api.ts';
import { type Change, changesOf, merged, patchOf } from '../../merge.ts';
import { Dialog } from '../../parts/controls.tsx';
import { Editor } from '../../parts/editor.tsx';
import { JsonTree } from '../../parts/json-tree.tsx';
import { Failure, Text, useAnswer, useWork } from '../../parts/words.tsx';
import { href, usePlace } from '../../router.ts';
import type { TabProps } from '../device.tsx';

interface Twin {
  readonly etag: string;
  readonly version: number;
  readonly tags: Readonly<Record<string, unknown>>;
  readonly properties: {
    readonly desired: Readonly<Record<string, unknown>>;
    readonly reported: Readonly<Record<string, unknown>>;
  };
}

/** What the editor holds. */
interface Wanted {
  readonly tags: unknown;
  readonly desired: unknown;
}

const POLL_MS = 5000;

/** Without what the hub says of a section. */
const plain = (section: Readonly<Record<string, unknown>>): object =>
  Object.fromEntries(Object.entries(section).filter(([name]) => name !== '$metadata' && name !== '$version'));

const wantedOf = ({ tags, properties }: Twin): Wanted => ({ tags: plain(tags), desired: plain(properties.desired) });
const textOf = (twin: Twin): string => JSON.stringify(wantedOf(twin), null, 2);

export function TwinTab({ device }: TabProps) {
  const { query } = usePlace();
  const moduleId = query.get('module') ?? undefined;
  const path =
    `/twins/${encodeURIComponent(device.deviceId)}` +
    (moduleId === undefined ? '' : `/modules/${encodeURIComponent(moduleId)}`);
  const read = async (signal?: AbortSignal): Promise<Twin> =>
    (await api<Twin>('GET', path, { ...(signal && { signal }) })).data;
  const newest = useAnswer(path, read);
  /** The twin that the text was made of. */
  const [base, setBase] = useState<Twin>();
  const [text, setText] = useState('');
  const [isReviewing, setReviewing] = useState(false);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) newest.again();
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [path]);
  const isChanged = base !== undefined && text !== textOf(base);
  const begin = (twin: Twin): void => {
    setBase(twin);
    setText(textOf(twin));
  };
  useEffect(() => {
    // What a user has begun to write is not taken away.
    if (newest.data !== undefined && !isChanged) begin(newest.data);
  }, [newest.data]);
  const wanted = wantedIn(text);
  const current = newest.data;
  return (
    <div class="stack">
      {moduleId !== undefined && (
        <p>
          The twin of the module <Text value={moduleId} />.{' '}
          <a href={href('/device', { id: device.deviceId, tab: 'twin' })}>Show that of the device</a>
        </p>
      )}
      <Failure error={newest.error} again={newest.again} />
      <div class="twin">
        <section class="card stack tight">
          <div class="row">
            <h2>Tags and desired properties</h2>
            {base !== undefined && <span class="quiet small">version {base.version}</span>}
          </div>
          {base !== undefined && <Editor label="Tags and desired properties as JSON" text={text} changed={setText} />}
          {isChanged && current !== undefined && base.etag !== current.etag && (
            <p class="note warn">
              The twin has been changed meanwhile, to version {current.version}. What you save is merged into it; look
              at the changes first.
            </p>
          )}
          <div class="row">
            <button
              type="button"
              class="primary"
              disabled={!isChanged || wanted === undefined}
              onClick={() => setReviewing(true)}
            >
              Look at the changes and save …
            </button>
            <button
              type="button"
              disabled={!isChanged || current === undefined}
              onClick={() => current && begin(current)}
            >
              Undo all
            </button>
            <span class="quiet small" role="status">
              {isChanged && wanted === undefined && 'This is no JSON object with "tags" and "desired" yet.'}
            </span>
          </div>
        </section>
        <section class="card stack tight">
          <h2>Reported properties</h2>
          {current !== undefined &&
            (Object.keys(plain(current.properties.reported)).length === 0 ? (
              <p class="quiet">The device has reported nothing yet.</p>
            ) : (
              <JsonTree value={plain(current.properties.reported)} />
            ))}
        </section>
      </div>
      {isReviewing && base !== undefined && wanted !== undefined && (
        <Review
          path={path}
          base={base}
          wanted={wanted}
          read={read}
          rebase={(twin) => {
            // What the user has changed, on top of what the other one has saved.
            const patch = patchOf(wantedOf(base), wanted) ?? {};
            setBase(twin);
            setText(JSON.stringify(merged(wantedOf(twin), patch), null, 2));
          }}
          saved={(twin) => {
            begin(twin);
            newest.again();
            setReviewing(false);
          }}
          close={() => setReviewing(false)}
        />
      )}
    </div>
  );
}

function wantedIn(text: string): Wanted | undefined {
  try {
    const value = JSON.parse(text) as Partial<Wanted> | null;
    const isObject = (part: unknown): boolean => typeof part === 'object' && part !== null && !Array.isArray(part);
    if (!isObject(value) || !isObject(value?.tags) || !isObject(value?.desired)) return undefined;
    return { tags: value?.tags, desired: value?.desired };
  } catch {
    return undefined;
  }
}

function Review(props: {
  readonly path: string;
  readonly base: Twin;
  readonly wanted: Wanted;
  readonly read: () => Promise<Twin>;
  /** The text stands against this twin from now on. */
  readonly rebase: (twin: Twin) => void;
  readonly saved: (twin: Twin) => void;
  readonly close: () => void;
}) {
  const { path, base, wanted, read, rebase, saved, close } = props;
  const { isBusy, error, run } = useWork();
  const before = wantedOf(base);
  const changes = changesOf(before, wanted);
  const isOld = error instanceof Refusal && error.status === 412;
  const save = async (): Promise<void> => {
    const tags = patchOf(before.tags, wanted.tags);
    const desired = patchOf(before.desired, wanted.desired);
    const body = { ...(tags !== undefined && { tags }), ...(desired !== undefined && { properties: { desired } }) };
    await run(async () =>
      saved((await api<Twin>('PATCH', path, { body, headers: { 'if-match': `"${base.etag}"` } })).data),
    );
  };
  return (
    <Dialog title={`${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`} close={close} wide>
      <ul class="plain diff mono" aria-label="Changes">
        {changes.map((change) => (
          <ChangeLine key={change.path} change={change} />
        ))}
        {changes.length === 0 && <li>Nothing but blanks has changed.</li>}
      </ul>
      {isOld ? (
        <div class="note warn" role="alert">
          <p>The twin has been changed by another back end while you were editing. Nothing was saved.</p>
          <button type="button" class="tiny" onClick={() => void run(async () => rebase(await read()))}>
            Compare with the newest twin
          </button>
        </div>
      ) : (
        <Failure error={error} />
      )}
      <div class="foot">
        <button type="button" onClick={close}>
          Go on editing
        </button>
        <button
          type="button"
          class="primary"
          disabled={isBusy || isOld || changes.length === 0}
          onClick={() => void save()}
        >
          Save
        </button>
      </div>
    </Dialog>
  );
}

const SHOWN_MAX = 2000;

function ChangeLine({ change: { path, before, after } }: { readonly change: Change }) {
  const shown = (value: unknown): string => JSON.stringify(value).slice(0, SHOWN_MAX);
  return (
    <li>
      <strong>
        <Text value={path} />
      </strong>
      {before !== undefined && (
        <del>
          <Text value={`− ${shown(before)}`} />
        </del>
      )}
      {after !== undefined && (
        <ins>
          <Text value={`+ ${shown(after)}`} />
        </ins>
      )}
    </li>
  );
}
