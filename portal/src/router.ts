/**
 * Every screen has an address: a path of ours and a query string. Ids stand in the query string, never in the path, because a
 * path cannot hold `..`.
 */
import { createStore, useStore } from './store.ts';

export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
}

const here = (): Place => ({ path: location.pathname, query: new URLSearchParams(location.search) });
const place = createStore<Place>(here());

export const usePlace = (): Place => useStore(place);

/** The address of a screen; undefined and empty values are left out. */
export function href(path: string, query: Readonly<Record<string, string | undefined>> = {}): string {
  const kept = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const text = new URLSearchParams(kept).toString();
  return text === '' ? path : `${path}?${text}`;
}

/** Goes to a screen. `replace`: the place that is left is not one that `back` comes to. */
export function go(address: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  const before = place.get().path;
  place.set(here());
  if (place.get().path !== before) scrollTo(0, 0);
}

/** Takes over clicks on links to screens, and the browser's back and forward. */
export function startRouter(): void {
  addEventListener('popstate', () => place.set(here()));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.origin !== location.origin || link.target !== '' || link.hasAttribute('download')) return;
    if (/^\/(portal\/|assets\/|openapi|metrics|readyz|healthz|events)/.test(link.pathname)) return;
    if (link.hash !== '' && link.pathname === location.pathname && link.search === location.search) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
