import { limits } from '../../base/limits.ts';
import { errorTable } from '../../core/errors.ts';
import { readCorrelationId } from '../../wire/amqp/message.ts';
import { AmqpWriter, section } from '../../wire/amqp/writer.ts';
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
  readonly #answers = new Set<OutgoingLink>();

  openAnswers(link: OutgoingLink): void {
    this.#answers.add(link);
    link.whenClosed(() => this.#answers.delete(link));
    link.onSendable = () => link.drained();
    link.open({ sendsSettled: true });
  }

  openRequests(link: IncomingLink): void {
    const correlation = link.attach.properties.get('com.microsoft:channel-correlation-id');
    link.onMessage = (delivery) => {
      link.settle(delivery, { kind: 'accepted' });
      const open = [...this.#answers].filter(({ isOpen }) => isOpen);
      const pair = open.find(
        ({ attach }) => attach.properties.get('com.microsoft:channel-correlation-id') === correlation,
      );
      const to = pair ?? open.find(({ session }) => session === link.session) ?? open[0];
      // Whoever gives no credit does not want to know.
      if (to !== undefined) to.session.sendMessage(to, refusal(readCorrelationId(delivery.payload)));
    };
    link.open({ creditMax: REQUEST_CREDIT, messageBytesMax: limits.amqpMessageBytesMax });
  }
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
