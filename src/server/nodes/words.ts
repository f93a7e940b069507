/** What nodes say to each other beside calls that a room has of its own. Plain values only: two versions of the program may meet. */
import { randomUUID } from 'node:crypto';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { PlaceRef } from '../../core/presence/places.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';

/** The first word of each side of a link. */
export interface Greeting {
  /** `NodeFacts.id`. */
  readonly id: string;
  readonly name: string;
  /** Of the program. */
  readonly version: string;
  /**
   * Of what nodes say to each other. Neighbours talk, so that nodes can be changed one after the other: a program understands its own form and
   * the one before; a node that is further away is refused.
   */
  readonly words: number;
}

/** Raised with each change of what nodes say that one of the release before would not understand. */
export const WORDS = 1;

/** What is left in the database for a node that cannot be reached. One that does not know a kind takes it as if it were nothing. */
export type NodeNotice =
  | { readonly kind: 'drop'; readonly place: PlaceRef; readonly reason: DisconnectReason }
  | { readonly kind: 'end'; readonly key: IdentityKey; readonly reason: DisconnectReason }
  | { readonly kind: 'compare' }
  | { readonly kind: 'displaced'; readonly receiver: number; readonly newcomer: string }
  /** Notes as a link would have carried them. */
  | { readonly kind: 'told'; readonly tales: readonly (readonly [note: string, value: unknown])[] }
  /** Too much has been missed: the node lets go of its connections and forgets what it knows. */
  | { readonly kind: 'anew' };

export const newNoticeId = (): string => randomUUID();
