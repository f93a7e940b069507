/** What a user of this browser has chosen: no secret stands here. */
import { createStore } from './store.ts';

export type Theme = 'auto' | 'light' | 'dark';
export type Zone = 'local' | 'utc';

/** What a browser keeps, or `otherwise` where it keeps nothing (it may be forbidden to). */
export function kept<T>(name: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(`mooring.${name}`);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

export function keep(name: string, value: unknown): void {
  try {
    localStorage.setItem(`mooring.${name}`, JSON.stringify(value));
  } catch {
    // The page works as well without.
  }
}

export const theme = createStore<Theme>(kept<Theme>('theme', 'auto'));
export const zone = createStore<Zone>(kept<Zone>('zone', 'local'));

function showTheme(chosen: Theme): void {
  if (chosen === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

export function startPreferences(): void {
  showTheme(theme.get());
  theme.follow((chosen) => {
    keep('theme', chosen);
    showTheme(chosen);
  });
  zone.follow((chosen) => keep('zone', chosen));
}
