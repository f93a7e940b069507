/** The rows of the list, page by page, as far as the user has scrolled. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Page, queryPage } from '../../devices.ts';
import { type Filter, type FleetQuery, queryOf } from './filter.ts';

export interface Row {
  readonly deviceId: string;
  readonly status: 'enabled' | 'disabled';
  readonly connectionState: 'Connected' | 'Disconnected';
  readonly lastActivityTime: string;
  readonly authenticationType: string;
  readonly cloudToDeviceMessageCount: number;
  readonly tags?: unknown;
}

export const ROW_ITEMS =
  'deviceId, status, connectionState, lastActivityTime, authenticationType, cloudToDeviceMessageCount, tags';

const FIRST_PAGE = 60;
const PAGE = 500;

export interface Rows {
  readonly rows: readonly Row[];
  readonly query: FleetQuery;
  /** Undefined until it is counted. */
  readonly count: number | undefined;
  readonly isLoading: boolean;
  readonly isWhole: boolean;
  readonly error: unknown;
  /** Asks for the next page, if there is one. */
  more(): void;
  again(): void;
}

interface State {
  readonly rows: readonly Row[];
  readonly continuation: string | undefined;
  readonly count: number | undefined;
  readonly isLoading: boolean;
  readonly error: unknown;
}

const START: State = { rows: [], continuation: undefined, count: undefined, isLoading: true, error: undefined };

export function useRows(filter: Filter): Rows {
  const query = queryOf(filter, ROW_ITEMS);
  const [state, setState] = useState<State>(START);
  const [round, setRound] = useState(0);
  const end = useRef(new AbortController());
  const isBusy = useRef(false);

  const load = (continuation: string | undefined, signal: AbortSignal): void => {
    isBusy.current = true;
    const size = continuation === undefined ? FIRST_PAGE : PAGE;
    queryPage<Row>(query.text, { size, continuation, signal }).then(
      (page) => {
        if (signal.aborted) return;
        isBusy.current = false;
        if (continuation === undefined) count(page, signal);
        setState((before) => ({
          ...before,
          rows: continuation === undefined ? page.rows : [...before.rows, ...page.rows],
          continuation: page.continuation,
          isLoading: false,
          error: undefined,
        }));
      },
      (error: unknown) => {
        if (signal.aborted) return;
        isBusy.current = false;
        setState((before) => ({ ...before, ...(continuation === undefined && { rows: [] }), isLoading: false, error }));
      },
    );
  };

  /** Behind the first page: queries take turns, and a count reads the whole fleet. */
  const count = ({ rows, continuation }: Page<Row>, signal: AbortSignal): void => {
    if (continuation === undefined) {
      setState((before) => ({ ...before, count: rows.length }));
      return;
    }
    queryPage<{ n: number }>(queryOf(filter, 'COUNT() AS n').text, { signal }).then(
      ({ rows: [first] }) => setState((before) => ({ ...before, count: first?.n ?? 0 })),
      () => {},
    );
  };

  useEffect(() => {
    end.current = new AbortController();
    const { signal } = end.current;
    // The rows of the previous query stay until those of this one are there: the list does not flicker.
    setState((before) => ({ ...before, continuation: undefined, count: undefined, isLoading: true, error: undefined }));
    load(undefined, signal);
    return () => end.current.abort();
  }, [query.text, round]);

  return {
    ...state,
    query,
    isWhole: !state.isLoading && state.continuation === undefined,
    more() {
      if (!isBusy.current && state.continuation !== undefined) load(state.continuation, end.current.signal);
    },
    again: () => setRound((rounds) => rounds + 1),
  };
}
