import { limits } from '../../base/limits.ts';
import { errorTable } from '../../core/errors.ts';
import { readCorrelationId } from '../../wire/amqp/message.ts';
import { AmqpWriter, section } from '../../wire/amqp/writer.ts';
import type { Attach } from './attach.ts';
import type { IncomingLink } from './incoming-link.ts';
import type { OutgoingLink } from './outgoing-link.ts';

/** Status of an answer for an operation that this hub does not have: one of the documented 5xx. */
const STATUS_NOT_OFFERED = 501;
/** How many requests a peer may send ahead. */
const REQUEST_CREDIT = 32;

/**
 * The twin links of one device: requests come on one, answers leave on the other (device reference 3.6). Twins are not
 * offered yet; each request is answered so, because an application without any answer would connect anew for ever.
 */
export class TwinLinks {
  readonly #answerLinks = new Set<OutgoingLink>();
  /** Answers whose link has no credit yet: a request may come before the credit for its answer. */
  #waiting: { readonly from: IncomingLink; readonly message: Buffer }[] = [];

  openAnswers(link: OutgoingLink): void {
    this.#answerLinks.add(link);
    link.whenClosed(() => this.#answerLinks.delete(link));
    link.onSendable = () => {
      this.#flush();
      link.drained();
    };
    link.open({ sendsSettled: true });
  }

  openRequests(link: IncomingLink): void {
    link.whenClosed(() => {
      this.#waiting = this.#waiting.filter(({ from }) => from !== link);
    });
    link.onMessage = (delivery) => {
      link.settle(delivery, { kind: 'accepted' });
      if (this.#waiting.length >= limits.amqpAnswersMax) {
        link.detach({ condition: 'amqp:resource-limit-exceeded', description: 'The answers are not read.' });
        return;
      }
      this.#waiting.push({ from: link, message: refusal(readCorrelationId(delivery.payload)) });
      this.#flush();
    };
    link.open({ creditMax: REQUEST_CREDIT, messageBytesMax: limits.amqpMessageBytesMax });
  }

  #flush(): void {
    this.#waiting = this.#waiting.filter(({ from, message }) => {
      const link = this.#linkFor(from);
      return link === undefined || !link.session.sendMessage(link, message);
    });
  }

  /** The two links of a pair name the same correlation id. */
  #linkFor(from: IncomingLink): OutgoingLink | undefined {
    const open = [...this.#answerLinks].filter(({ isOpen }) => isOpen).reverse();
    const pair = open.find(({ attach }) => correlationOf(attach) === correlationOf(from.attach));
    return pair ?? open.find(({ session }) => session === from.session) ?? open[0];
  }
}

function correlationOf({ properties }: Attach): unknown {
  return properties.get('com.microsoft:channel-correlation-id');
}

const scratch = new AmqpWriter(512);

/** @param correlationId of the request, in its own type */
function refusal(correlationId: Buffer | undefined): Buffer {
  const { number, meaning } = errorTable.OperationNotAvailable;
  scratch.reset();
  scratch.descriptor(section.messageAnnotations);
  const annotations = scratch.beginMap();
  scratch.symbol('status');
  scratch.int(STATUS_NOT_OFFERED);
  scratch.end(annotations, 2);
  scratch.descriptor(section.properties);
  const list = scratch.beginList();
  for (let field = 0; field < 5; field++) scratch.null();
  if (correlationId === undefined) scratch.null();
  else scratch.raw(correlationId);
  scratch.end(list, 6);
  scratch.descriptor(section.data);
  scratch.binary(Buffer.from(JSON.stringify({ errorCode: number, message: meaning })));
  return scratch.copy();
}
