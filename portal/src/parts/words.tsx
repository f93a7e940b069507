/** Small words of every screen: text of strangers, times, states, refusals. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Refusal } from '../api.ts';
import { zone } from '../preferences.ts';
import { useStore } from '../store.ts';
import { agoText, piecesOf } from '../text.ts';
import type { Mood } from './mood.ts';

/** Text that a device or a user has chosen: shown as text, with what could not be seen by its number. */
export function Text({ value }: { readonly value: string }) {
  const pieces = piecesOf(value);
  return (
    <bdi>
      {pieces.map(({ text, odd }, at) =>
        odd ? (
          <span key={at} class="odd" title={`The character ${text}, which could not be seen`}>
            {text}
          </span>
        ) : (
          text
        ),
      )}
    </bdi>
  );
}

const forms = {
  local: new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' }),
  utc: new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' }),
};

const toTheMillisecond: Intl.DateTimeFormatOptions = {
  ...({ year: '2-digit', month: '2-digit', day: '2-digit' } as const),
  ...({ hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 } as const),
};
const precise = {
  local: new Intl.DateTimeFormat(undefined, toTheMillisecond),
  utc: new Intl.DateTimeFormat(undefined, { ...toTheMillisecond, timeZone: 'UTC' }),
};

/** @param isPrecise with milliseconds */
export function timeText(at: number, where: 'local' | 'utc', isPrecise = false): string {
  const text = (isPrecise ? precise : forms)[where].format(at);
  return `${text}${where === 'utc' ? ' UTC' : ''}`;
}

/** The time of the API, or undefined where it stands for never. */
export function timeOf(text: string | undefined | null): number | undefined {
  if (!text || text.startsWith('0001-')) return undefined;
  // The API leaves the zone out where it is UTC.
  const at = Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(at) ? undefined : at;
}

/** A time as the user wants it; the other reading of it is its title. */
export function Time(props: { readonly at: number | undefined; readonly ago?: boolean; readonly isPrecise?: boolean }) {
  const { at, ago = false, isPrecise = false } = props;
  const where = useStore(zone);
  const now = useNow(ago);
  if (at === undefined) return <span class="quiet">never</span>;
  const text = timeText(at, where, isPrecise);
  return (
    <time dateTime={new Date(at).toISOString()} title={timeText(at, where === 'utc' ? 'local' : 'utc')}>
      {text}
      {ago && <span class="quiet"> · {agoText(now - at)} ago</span>}
    </time>
  );
}

function useNow(isUsed: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!isUsed) return;
    const timer = setInterval(() => setNow(Date.now()), 5000);
    return () => clearInterval(timer);
  }, [isUsed]);
  return now;
}

export function Badge({ mood, children }: { readonly mood: Mood; readonly children: ComponentChildren }) {
  return <span class={`badge ${mood}`}>{children}</span>;
}

/** What went wrong, in the hub's words, with the id that finds it in the hub's log. */
export function Failure({ error, again }: { readonly error: unknown; readonly again?: (() => void) | undefined }) {
  if (error === undefined || error === null) return null;
  const refusal = error instanceof Refusal ? error : undefined;
  return (
    <div class="note bad" role="alert">
      <p>
        <Text value={error instanceof Error ? error.message : String(error)} />
      </p>
      {refusal && refusal.status !== 0 && (
        <p class="small">
          {refusal.code}
          {refusal.trackingId !== undefined && (
            <>
              {' '}
              · tracking id <code>{refusal.trackingId}</code>
            </>
          )}
        </p>
      )}
      {again && (
        <button type="button" class="tiny" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** A state that a call ends in, for buttons that start one. */
export function useWork(): {
  readonly isBusy: boolean;
  readonly error: unknown;
  run(work: () => Promise<void>): Promise<boolean>;
} {
  const [state, setState] = useState<{ isBusy: boolean; error: unknown }>({ isBusy: false, error: undefined });
  return {
    ...state,
    async run(work) {
      setState({ isBusy: true, error: undefined });
      try {
        await work();
        setState({ isBusy: false, error: undefined });
        return true;
      } catch (error) {
        setState({ isBusy: false, error });
        return false;
      }
    },
  };
}

/** What a call answers, asked for again when `key` changes. */
export function useAnswer<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
): { readonly data: T | undefined; readonly error: unknown; again(): void } {
  const [state, setState] = useState<{ key: string; data?: T; error?: unknown }>({ key });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    load(end.signal).then(
      (data) => {
        if (!end.signal.aborted) setState({ key, data });
      },
      (error: unknown) => {
        if (!end.signal.aborted) setState((before) => ({ ...(before.key === key && before), key, error }));
      },
    );
    return () => end.abort();
    // `load` is made anew by each rendering; `key` says when it asks for something else.
  }, [key, round]);
  const current = state.key === key ? state : { data: undefined, error: undefined };
  return { data: current.data, error: current.error, again: () => setRound((count) => count + 1) };
}
