import { limits } from '../../../base/limits.ts';
import type { IncomingLink } from './incoming-link.ts';
import type { OutgoingLink } from './outgoing-link.ts';

/** By what a link is found, the best first; a key stands for itself at its place only, and undefined for none. */
type Keys = readonly unknown[];

interface Waiting {
  readonly from: IncomingLink;
  readonly message: Buffer;
  readonly keys: Keys;
  link: OutgoingLink | undefined;
}

/** Links that have a key in common, the newest last. */
interface Keyed {
  links: OutgoingLink[];
  /** How many of them are open. */
  open: number;
}

/**
 * Links on which a node answers, and answers that wait for their link's credit: at most `amqpAnswersMax`. A peer chooses how
 * many links there are, how many answers and how many flows, so none of them is looked through for another: the link of an
 * answer is found by its keys.
 */
export class Answers {
  readonly #keysOf: (link: OutgoingLink) => Keys;
  /** By the key's place among the keys. */
  readonly #keyed: Map<unknown, Keyed>[] = [];
  #waiting: Waiting[] = [];

  /** @param keysOf by what a link can be found, such as its name */
  constructor(keysOf: (link: OutgoingLink) => Keys) {
    this.#keysOf = keysOf;
  }

  /** Opens a link on which answers may leave. */
  open(link: OutgoingLink): void {
    const keys = this.#keysOf(link);
    for (const [place, key] of keys.entries()) this.#add(place, key, link);
    link.whenClosed(() => {
      for (const [place, key] of keys.entries()) this.#remove(place, key);
      if (this.#waiting.some((waiting) => waiting.link === link)) this.#assign();
    });
    link.onSendable = () => {
      if (this.#waiting.length > 0) this.#send(link);
      link.drained();
    };
    link.open({ sendsSettled: true });
    // It may suit a waiting answer better than the one that it waits for.
    if (this.#waiting.length > 0) this.#assign();
  }

  /** Requests come on `link`: what it has asked and not been answered is forgotten when it ends. */
  watch(link: IncomingLink): void {
    link.whenClosed(() => {
      if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter(({ from }) => from !== link);
    });
  }

  /** Answers a request of `from` on the newest open link that has one of `keys`, a better one before a lesser. */
  answer(from: IncomingLink, keys: Keys, message: Buffer): void {
    if (!from.isOpen) return;
    if (this.#waiting.length >= limits.amqpAnswersMax) {
      from.detach({ condition: 'amqp:resource-limit-exceeded', description: 'The answers are not read.' });
      return;
    }
    const waiting: Waiting = { from, message, keys, link: this.find(keys) };
    this.#waiting.push(waiting);
    if (waiting.link !== undefined) this.#send(waiting.link);
  }

  #assign(): void {
    for (const waiting of this.#waiting) waiting.link = this.find(waiting.keys);
    for (const link of new Set(this.#waiting.map((waiting) => waiting.link))) if (link !== undefined) this.#send(link);
  }

  #send(link: OutgoingLink): void {
    this.#waiting = this.#waiting.filter(
      (waiting) => waiting.link !== link || !link.session.sendMessage(link, waiting.message),
    );
  }

  /** The link on which an answer to those keys would leave now. */
  find(keys: Keys): OutgoingLink | undefined {
    for (const [place, key] of keys.entries()) {
      const links = this.#keyed[place]?.get(key)?.links ?? [];
      while (links.at(-1)?.isOpen === false) links.pop();
      const newest = links.at(-1);
      if (newest !== undefined) return newest;
    }
    return undefined;
  }

  #add(place: number, key: unknown, link: OutgoingLink): void {
    if (key === undefined) return;
    this.#keyed[place] ??= new Map();
    const keyed = this.#keyed[place].get(key) ?? { links: [], open: 0 };
    this.#keyed[place].set(key, keyed);
    // Those that have ended go when they are more than the others.
    if (keyed.links.length > 2 * keyed.open) keyed.links = keyed.links.filter(({ isOpen }) => isOpen);
    keyed.links.push(link);
    keyed.open++;
  }

  #remove(place: number, key: unknown): void {
    const keyed = this.#keyed[place]?.get(key);
    if (keyed !== undefined && --keyed.open === 0) this.#keyed[place].delete(key);
  }
}
