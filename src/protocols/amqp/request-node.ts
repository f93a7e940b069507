import { limits } from '../../base/limits.ts';
import type { HubError } from '../../core/errors.ts';
import { type Field, int, nil, string, symbol } from '../../wire/amqp/fields.ts';
import { type Message, readMessage, responseMessage } from '../../wire/amqp/message.ts';
import { Answers } from './engine/answers.ts';
import type { IncomingLink } from './engine/incoming-link.ts';
import type { OutgoingLink } from './engine/outgoing-link.ts';
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

/** How many requests a peer may send ahead. */
const REQUEST_CREDIT = 32;
/** What a request costs, in that of a small frame: most carry a token, whose signature is tried in several forms. */
const REQUEST_UNITS = 31;

/**
 * A node that answers requests on a pair of links: `$cbs` and `$management`. The links may come in any order and on
 * different sessions; an answer goes to the link that the request's reply-to names, else to one of the same session.
 */
export class RequestNode {
  readonly #handler: RequestHandler;
  /** By address, by name, by session, or any. */
  readonly #answers = new Answers(({ attach, session }) => [attach.targetAddress, attach.name, session, 'any']);

  constructor(handler: RequestHandler) {
    this.#handler = handler;
  }

  openRequests(link: IncomingLink): void {
    link.onMessage = (delivery) => {
      link.settle(delivery, { kind: 'accepted' });
      link.session.worked(REQUEST_UNITS);
      this.#serve(link, delivery.payload).catch(() => {
        link.detach({ condition: 'amqp:internal-error', description: 'The request could not be carried out.' });
      });
    };
    this.#answers.watch(link);
    link.open({ creditMax: REQUEST_CREDIT, messageBytesMax: limits.amqpRequestBytesMax });
  }

  openAnswers(link: OutgoingLink): void {
    this.#answers.open(link);
  }

  async #serve(from: IncomingLink, payload: Buffer): Promise<void> {
    const request = readMessage(payload);
    const answer = await this.#handler(request);
    const { replyTo } = request;
    this.#answers.answer(from, [replyTo, replyTo, from.session, 'any'], encodeAnswer(request, answer));
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
