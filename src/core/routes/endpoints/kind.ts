import type { Fields } from './fields.ts';

/** What a kind of endpoint must tell the room. */
export interface EndpointKind<Settings> {
  /** Reads the settings of its own; name and kind are read already. @throws HubError ArgumentInvalid */
  read(fields: Fields, name: string): Settings;
  /** Names of settings that are never shown: an answer has `***` in their place, and what is sent back so keeps what was there. */
  readonly secrets: readonly (keyof Settings & string)[];
  /** Settings that say where secrets are sent: with another one of these, hidden secrets have to be given again. */
  readonly sentTo?: readonly (keyof Settings & string)[];
}
