import { limits } from '../../base/limits.ts';
import { errorTable } from '../../core/errors.ts';
import { readCorrelationId } from '../../wire/amqp/message.ts';
import { AmqpWriter, section } from '../../wire/amqp/writer.ts';
import { Answers } from './answers.ts';
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
  /** The two links of a pair name the same correlation id; else by session, or any. */
  readonly #answers = new Answers((link) => [correlationOf(link.attach), link.session, 'any']);

  openAnswers(link: OutgoingLink): void {
    this.#answers.open(link);
  }

  openRequests(link: IncomingLink): void {
    this.#answers.watch(link);
    link.onMessage = (delivery) => {
      link.settle(delivery, { kind: 'accepted' });
      const keys = [correlationOf(link.attach), link.session, 'any'];
      this.#answers.answer(link, keys, refusal(readCorrelationId(delivery.payload)));
    };
    link.open({ creditMax: REQUEST_CREDIT, messageBytesMax: limits.amqpMessageBytesMax });
  }
}

function correlationOf({ properties }: Attach): unknown {
  return properties.get('com.microsoft:channel-correlation-id') ?? 'none';
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
