import rhea from 'rhea';

/** A back end on the library that the vendor's SDKs use: sends commands and collects their receipts. */
export interface BackEnd {
  /** Resolves when the hub has stored the command. */
  send(deviceId: string, messageId: string, body: Buffer): Promise<void>;
  /** Message ids of the receipts so far, with their statuses; an id twice counts twice. */
  readonly receipts: readonly { readonly messageId: string; readonly status: string }[];
  /** Calls `listener` after each batch of receipts. */
  onReceipts(listener: () => void): void;
  close(): void;
}

export interface BackEndPlace {
  readonly port: number;
  /** SASL PLAIN: `{policy}@sas.root.{hub}` and a token of the policy (service reference 1.2). */
  readonly username: string;
  readonly password: string;
}

const RECEIPT_CREDIT = 1000;

export async function openBackEnd(place: BackEndPlace): Promise<BackEnd> {
  const container = rhea.create_container();
  container.on('error', () => {});
  const connection = container.connect({ ...place, host: '127.0.0.1', reconnect: false } as rhea.ConnectionOptions);
  const failures = new Promise<never>((_, reject) => {
    for (const event of ['disconnected', 'connection_error', 'sender_error', 'receiver_error']) {
      connection.on(event, (context: rhea.EventContext) =>
        reject(new Error(`back end: ${event} ${context.sender?.error ?? context.receiver?.error ?? ''}`)),
      );
    }
  });
  failures.catch(() => {});
  const receipts: { messageId: string; status: string }[] = [];
  const listeners: (() => void)[] = [];
  connection.open_receiver({ source: '/messages/serviceBound/feedback', credit_window: RECEIPT_CREDIT });
  connection.on('message', ({ message }: rhea.EventContext) => {
    const body = message?.body as { content: Buffer };
    const records = JSON.parse(body.content.toString()) as { originalMessageId: string; statusCode: string }[];
    for (const record of records) receipts.push({ messageId: record.originalMessageId, status: record.statusCode });
    for (const listener of listeners) listener();
  });
  const sender = connection.open_sender('/messages/devicebound');
  const waiting = new Map<number, { readonly resolve: () => void; readonly reject: (error: Error) => void }>();
  const settled = (context: rhea.EventContext, error?: Error): void => {
    const id = context.delivery?.id as number;
    const waiter = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) waiter?.resolve();
    else waiter?.reject(error);
  };
  connection.on('accepted', (context: rhea.EventContext) => settled(context));
  connection.on('rejected', (context: rhea.EventContext) => {
    const state = context.delivery?.remote_state as { error?: { condition?: string; description?: string } };
    settled(context, new Error(`command refused: ${state.error?.condition} ${state.error?.description}`));
  });
  await Promise.race([new Promise((resolve) => sender.once('sendable', resolve)), failures]);
  return {
    receipts,
    send(deviceId, messageId, body) {
      const delivery = sender.send({
        to: `/devices/${deviceId}/messages/devicebound`,
        message_id: messageId,
        application_properties: { 'iothub-ack': 'full' },
        body: rhea.message.data_section(body),
      });
      return new Promise((resolve, reject) => waiting.set(delivery.id, { resolve, reject }));
    },
    onReceipts: (listener) => listeners.push(listener),
    close: () => {
      connection.removeAllListeners('disconnected');
      connection.close();
    },
  };
}
