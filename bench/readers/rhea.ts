import rhea from 'rhea';
import { connectionFields } from '../servers/hub.ts';
import type { ReadAll } from './reader.ts';

const CREDIT = 2000;

/** The same through the AMQP library that the vendor's JavaScript SDK uses: what such a reader can get at most. */
export const rheaReader: ReadAll = (options, count) =>
  new Promise((resolve, reject) => {
    const { SharedAccessKeyName, SharedAccessKey, EntityPath } = connectionFields(options.connectionString);
    const container = rhea.create_container();
    container.on('error', () => {});
    const connection = container.connect({
      host: options.host,
      port: options.port,
      username: SharedAccessKeyName,
      password: SharedAccessKey,
      reconnect: false,
      ...(options.ca === undefined ? {} : { transport: 'tls', ca: options.ca, servername: 'localhost' }),
    } as rhea.ConnectionOptions);
    let seen = 0;
    const begun = performance.now();
    for (let partition = 0; partition < options.partitions; partition++) {
      connection.open_receiver({
        source: {
          address: `${EntityPath}/ConsumerGroups/${options.consumerGroup}/Partitions/${partition}`,
          filter: rhea.filter.selector("amqp.annotation.x-opt-offset > '-1'") as never,
        },
        credit_window: CREDIT,
      });
    }
    connection.on('message', () => {
      if (++seen !== count) return;
      connection.removeAllListeners('disconnected');
      connection.close();
      resolve(performance.now() - begun);
    });
    for (const event of ['disconnected', 'connection_error', 'receiver_error']) {
      connection.on(event, (context: rhea.EventContext) =>
        reject(new Error(`rhea reader: ${event} ${context.receiver?.error ?? context.connection.error ?? ''}`)),
      );
    }
  });
