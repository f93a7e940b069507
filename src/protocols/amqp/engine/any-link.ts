import type { IncomingLink } from './incoming-link.ts';
import type { OutgoingLink } from './outgoing-link.ts';

export type AnyLink = OutgoingLink | IncomingLink;
