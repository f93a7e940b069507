import type { DeviceConnection } from '../../../core/devices/connection.ts';
import type { DeviceHub } from '../../../core/devices/types.ts';
import { MethodReceiver, type MethodWire } from '../../../core/methods/receiver.ts';
import type { MethodCall } from '../../../core/methods/types.ts';
import type { IncomingLink } from '../engine/incoming-link.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import type { LinkHost } from '../link-host.ts';
import { hasRoom } from './twin-links.ts';
import { methodMessage, readMethodAnswer } from './twin-mapping.ts';

/** How many answers a device may send ahead, and what each may take: a payload of 128 KiB fits. */
const ANSWER_CREDIT = 32;
const ANSWER_BYTES_MAX = 256 * 1024;

/** The method links of one device: calls leave on one, answers come on the other (device reference 3.7). */
export class MethodLinks implements MethodWire {
  readonly receiver: MethodReceiver;
  readonly #connection: DeviceConnection;
  /** Where calls leave; the newest last. */
  #links: readonly { readonly link: OutgoingLink; readonly host: LinkHost }[] = [];

  constructor({ clock, random }: Pick<DeviceHub, 'clock' | 'random'>, connection: DeviceConnection) {
    this.#connection = connection;
    this.receiver = new MethodReceiver(clock, random, this);
  }

  openCalls(link: OutgoingLink, host: LinkHost): void {
    link.whenClosed(() => {
      this.#links = this.#links.filter((each) => each.link !== link);
    });
    link.onSendable = () => {
      this.receiver.proceed();
      link.drained();
    };
    this.#links = [...this.#links, { link, host }];
    link.open({ sendsSettled: true });
  }

  openAnswers(link: IncomingLink, host: LinkHost): void {
    link.onMessage = (delivery) => {
      this.#connection.touch();
      link.settle(delivery, { kind: 'accepted' });
      try {
        const answer = readMethodAnswer(delivery.payload);
        if (answer !== undefined) this.receiver.answered(answer.id, answer.status, answer.body);
      } catch (error) {
        link.detach(host.error(error));
      }
    };
    link.open({ creditMax: ANSWER_CREDIT, messageBytesMax: ANSWER_BYTES_MAX });
  }

  listens(): boolean {
    return this.#newest !== undefined;
  }

  hasSpace(): boolean {
    const newest = this.#newest;
    return newest !== undefined && hasRoom(newest.link, newest.host);
  }

  write(id: number, { name, payload }: MethodCall): boolean {
    const link = this.#newest?.link;
    return link?.session.sendMessage(link, methodMessage(id, name, payload)) ?? false;
  }

  get #newest() {
    return this.#links.findLast(({ link }) => link.isOpen);
  }
}
