/** Changes of many devices as the hub carries them out: how far they have come, and what became of them. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, type BulkAction, type BulkProgress, listChanges } from '../../bulk-changes.ts';
import type { Mood } from '../../parts/mood.ts';
import { Badge, Failure, Text, Time, timeOf, useWork } from '../../parts/words.tsx';
import { countText } from '../../text.ts';

const RUNNING_LOOK_MS = 1000;
const IDLE_LOOK_MS = 15_000;
/** What ended longer ago is not shown. */
const SHOWN_MS = 24 * 3_600_000;
const FAILURES_SHOWN = 20;

const titles: Readonly<Record<BulkAction, string>> = {
  enable: 'Enable',
  disable: 'Disable',
  delete: 'Delete',
  tag: 'Tag',
  create: 'Create',
};

const moods: Readonly<Record<BulkProgress['status'], Mood>> = {
  running: '',
  completed: 'ok',
  cancelled: 'warn',
  failed: 'bad',
  interrupted: 'warn',
};

/** The bar, the numbers, and what has failed. */
export function ChangeState({ change }: { readonly change: BulkProgress }) {
  const { total, done, failed, failures, status, message } = change;
  const unnamed = failed - Math.min(failures.length, FAILURES_SHOWN);
  return (
    <>
      <progress max={Math.max(1, total, done + failed)} value={done + failed} aria-label="Devices done" />
      <p class="numeric">
        {countText(done)} of {countText(total)} done
        {failed > 0 && `, ${countText(failed)} failed`}
        {status === 'cancelled' && '. It was cancelled.'}
        {status === 'interrupted' && '. The hub was stopped before it was done.'}
      </p>
      {status === 'failed' && message !== undefined && (
        <p class="note bad">
          <Text value={message} />
        </p>
      )}
      {failures.length > 0 && (
        <ul class="plain small failures">
          {failures.slice(0, FAILURES_SHOWN).map(({ deviceId, message: why }) => (
            <li key={deviceId}>
              <strong>
                <Text value={deviceId} />
              </strong>
              : <Text value={why} />
            </li>
          ))}
          {unnamed > 0 && <li>… and {countText(unnamed)} more</li>}
        </ul>
      )}
    </>
  );
}

/**
 * Those of the last day, and those that run; nothing where there are none.
 * @param round changes where there may be a new one @param ended hears of one that has ended while the page looked on
 */
export function Changes(props: { readonly round: unknown; readonly mayWrite: boolean; readonly ended: () => void }) {
  const { round, mayWrite, ended } = props;
  const [changes, setChanges] = useState<readonly BulkProgress[]>([]);
  const running = useRef<ReadonlySet<string>>(new Set());
  const [asked, setAsked] = useState(0);
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const look = async (): Promise<void> => {
      // A page that cannot ask now has been told so by what it shows beside this.
      const found = await listChanges(end.signal).catch(() => undefined);
      if (end.signal.aborted) return;
      if (found !== undefined) {
        setChanges(
          found.filter(({ status, startTime, endTime }) => status === 'running' || isRecent(endTime ?? startTime)),
        );
        const now = new Set(found.filter(({ status }) => status === 'running').map(({ id }) => id));
        if ([...running.current].some((id) => !now.has(id))) ended();
        // It opens for what is under way, and stays as the user wants it.
        if ([...now].some((id) => !running.current.has(id))) setOpen(true);
        running.current = now;
      }
      timer = setTimeout(() => void look(), running.current.size > 0 ? RUNNING_LOOK_MS : IDLE_LOOK_MS);
    };
    void look();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [round, asked]);
  if (changes.length === 0) return null;
  return (
    <details class="card changes" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        Changes of many devices <span class="quiet numeric">{countText(changes.length)}</span>
      </summary>
      <ul class="plain stack">
        {changes.map((change) => (
          <Line key={change.id} change={change} mayWrite={mayWrite} again={() => setAsked((count) => count + 1)} />
        ))}
      </ul>
    </details>
  );
}

const isRecent = (time: string): boolean => Date.now() - (timeOf(time) ?? 0) < SHOWN_MS;

function Line(props: { readonly change: BulkProgress; readonly mayWrite: boolean; readonly again: () => void }) {
  const { change, mayWrite, again } = props;
  const { id, action, condition, status, policyName, startTime } = change;
  const { isBusy, error, run } = useWork();
  const press = (what: 'cancel' | 'resume') => async (): Promise<void> => {
    await run(async () => {
      await ask(what, id);
    });
    again();
  };
  return (
    <li class="stack tight" aria-label={`${titles[action]} ${change.total} devices`}>
      <div class="row">
        <strong>{titles[action]}</strong>
        <Badge mood={status === 'completed' && change.failed > 0 ? 'warn' : moods[status]}>{status}</Badge>
        <span class="quiet small">
          {condition === undefined ? 'devices chosen one by one' : condition === '*' ? 'all devices' : 'where '}
          {condition !== undefined && condition !== '*' && (
            <code>
              <Text value={condition} />
            </code>
          )}
          {' · '}
          <Text value={policyName} /> · <Time at={timeOf(startTime)} />
        </span>
        {mayWrite && status === 'running' && (
          <button type="button" class="tiny push" disabled={isBusy} onClick={press('cancel')}>
            Cancel
          </button>
        )}
        {mayWrite && (status === 'interrupted' || status === 'failed' || status === 'cancelled') && (
          <button type="button" class="tiny push" disabled={isBusy} onClick={press('resume')}>
            Go on
          </button>
        )}
      </div>
      {status === 'completed' && change.failed === 0 ? (
        <p class="quiet small numeric">{countText(change.done)} devices</p>
      ) : (
        <ChangeState change={change} />
      )}
      <Failure error={error} />
    </li>
  );
}
