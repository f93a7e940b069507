/** How a thing stands, as a colour says it; empty = neither well nor ill. */
export type Mood = 'ok' | 'warn' | 'bad' | '';
