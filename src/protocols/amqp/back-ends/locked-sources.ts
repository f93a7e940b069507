/** What back ends are handed under locks, as AMQP messages. */
import { shareName } from '../../../core/identity/share-name.ts';
import type { Principal } from '../../../core/identity/types.ts';
import { feedbackMessage, fileNotificationMessage } from '../command-mapping.ts';
import type { LinkHost } from '../link-host.ts';
import type { LockedSource } from './locked-delivery.ts';

/** What became of commands, a batch per message. @param principal who reads, asked again each time */
export function receipts({ hub }: LinkHost, principal: () => Principal): LockedSource {
  return {
    name: 'receipts',
    holder: () => shareName(principal()),
    async take() {
      const batch = await hub.commands.takeReceipts(principal());
      return batch && { ...batch, message: feedbackMessage(batch.receipts, hub.name, hub.clock.now()) };
    },
    settle: (lockToken, settlement) => hub.commands.settleReceipts(principal(), lockToken, settlement),
    watch: (listener) => hub.commands.watchReceipts(listener),
  };
}

/** Which files devices have uploaded, one per message. @param principal as above */
export function fileNotifications({ hub }: LinkHost, principal: () => Principal): LockedSource {
  return {
    name: 'notifications of files',
    holder: () => shareName(principal()),
    async take() {
      const locked = await hub.files.takeNotification(principal());
      return locked && { ...locked, message: fileNotificationMessage(locked.notification, hub.name) };
    },
    settle: (lockToken, settlement) => hub.files.settleNotification(principal(), lockToken, settlement),
    watch: (listener) => hub.files.watchNotifications(listener),
  };
}
