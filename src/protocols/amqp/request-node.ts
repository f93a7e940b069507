import { limits } from '../../base/limits.ts';
import type { HubError } from '../../core/errors.ts';
import { type Field, int, nil, string, symbol } from '../../wire/amqp/fields.ts';
import { type Message, readMessage, responseMessage } from '../../wire/amqp/message.ts';
import type { IncomingLink } from './incoming-link.ts';
import type { OutgoingLink } from './outgoing-link.ts';
import { conditionOf } from './refusals.ts';

export interface Answer {
  /** Written as an AMQP int: Java looks at the type (service reference 1.3). */
  readonly status: number;
  readonly description: string;
  readonly condition?: string;
  readonly body?: Field;
}

/** Carries out one request. Never rejects. */
export type RequestHandler = (request: Message) => Promise<Answer>;

interface Waiting {
  readonly replyTo: string | undefined;
  readonly from: IncomingLink;
  readonly message: Buffer;
}

/** How many requests a peer may send ahead. */
const REQUEST_CREDIT = 32;

/**
 * A node that answers requests on a pair of links: `$cbs` and `$management`. The links may come in any order and on
 * different sessions; an answer goes to the link that the request's reply-to names, else to one of the same session.
 */
export class RequestNode {
  readonly #handler: RequestHandler;
  readonly #answerLinks = new Set<OutgoingLink>();
  #waiting: Waiting[] = [];

  constructor(handler: RequestHandler) {
    this.#handler = handler;
  }

  openRequests(link: IncomingLink): void {
    link.onMessage = (delivery) => {
      link.settle(delivery, { kind: 'accepted' });
      this.#serve(link, readMessage(delivery.payload)).catch(() => {
        link.detach({ condition: 'amqp:internal-error', description: 'The request could not be carried out.' });
      });
    };
    link.whenClosed(() => {
      this.#waiting = this.#waiting.filter((waiting) => waiting.from !== link);
    });
    link.open({ creditMax: REQUEST_CREDIT, messageBytesMax: limits.amqpRequestBytesMax });
  }

  openAnswers(link: OutgoingLink): void {
    this.#answerLinks.add(link);
    link.whenClosed(() => this.#answerLinks.delete(link));
    link.onSendable = () => {
      this.#flush();
      link.drained();
    };
    link.open({ sendsSettled: true });
  }

  async #serve(from: IncomingLink, request: Message): Promise<void> {
    const answer = await this.#handler(request);
    if (!from.isOpen) return;
    if (this.#waiting.length >= limits.amqpAnswersMax) {
      from.detach({ condition: 'amqp:resource-limit-exceeded', description: 'The answers are not read.' });
      return;
    }
    this.#waiting.push({ replyTo: request.replyTo, from, message: encodeAnswer(request, answer) });
    this.#flush();
  }

  #flush(): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      const link = this.#linkFor(waiting);
      return link === undefined || !link.session.sendMessage(link, waiting.message);
    });
  }

  #linkFor({ replyTo, from }: Waiting): OutgoingLink | undefined {
    const links = [...this.#answerLinks].filter((link) => link.isOpen).reverse();
    return (
      links.find((link) => replyTo !== undefined && link.attach.targetAddress === replyTo) ??
      links.find((link) => replyTo !== undefined && link.attach.name === replyTo) ??
      links.find((link) => link.session === from.session) ??
      links[0]
    );
  }
}

/** What a refused request is answered. */
export function refusedAnswer(error: HubError): Answer {
  // The service answers a partition that does not exist as a wrong argument.
  const status = error.code === 'PartitionNotFound' ? 400 : error.status;
  return { status, description: error.message, condition: conditionOf(error.code) };
}

function encodeAnswer(request: Message, answer: Answer): Buffer {
  const properties: (readonly [string, Field])[] = [
    ['status-code', int(answer.status)],
    ['status-description', string(answer.description)],
  ];
  if (answer.condition !== undefined) properties.push(['error-condition', symbol(answer.condition)]);
  return responseMessage({ correlationId: request.messageId, properties, body: answer.body ?? nil });
}
