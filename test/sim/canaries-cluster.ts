/** Protections of a hub on Kafka and PostgreSQL, each turned off; see `canaries.ts`. */
import { BrokerGone } from '../../src/stores/kafka/broker-connection.ts';
import { apis } from '../../src/wire/kafka/apis.ts';
import { crc32c } from '../../src/wire/kafka/crc32c.ts';
import type { Canary } from './canary.ts';
import { produceAnswer, readProduce } from './kafka/answers.ts';
import { TOPIC } from './kafka/brokers.ts';
import type { Plan } from './plan.ts';

/** Answers of brokers are lost and late all the time; nothing else happens. */
const unsureBrokers: Partial<Plan> = {
  ...{ crashEveryMs: 0, stopEveryMs: 0, clockJumpEveryMs: 0, answerLossRate: 0, identitiesChange: false },
  ...{ brokerFaultRate: 0.05, brokerFaultEveryMs: 8000, devices: 4, breakEveryMs: 0, endpoints: 0 },
};

export const clusterCanaries: readonly Canary[] = [
  {
    name: 'send batches without a number, so that brokers cannot leave out what they have',
    plan: unsureBrokers,
    broker: (broker) => ({
      ...broker,
      get isGone() {
        return broker.isGone;
      },
      request: (api, body, waitMs) => broker.request(api, api === apis.produce ? unnumbered(body) : body, waitMs),
    }),
  },
  {
    name: 'take a connection that ends for an acknowledgement',
    plan: unsureBrokers,
    broker: (broker) => ({
      ...broker,
      get isGone() {
        return broker.isGone;
      },
      request: (api, body, waitMs) => {
        const answer = broker.request(api, body, waitMs);
        if (api !== apis.produce) return answer;
        const { batches } = readProduce(Buffer.concat(body));
        return answer.catch((error: unknown) => {
          if (!(error instanceof BrokerGone)) throw error;
          return produceAnswer(
            TOPIC,
            batches.map(({ partition }) => ({ partition, error: 0, first: 0, time: 1 })),
          );
        });
      },
    }),
  },
  {
    name: 'compare no connections with their places where an answer about these was lost',
    plan: {
      ...{ crashEveryMs: 0, stopEveryMs: 0, clockJumpEveryMs: 0, brokerFaultRate: 0, brokerFaultEveryMs: 0 },
      ...{ answerLossRate: 0.15, breakEveryMs: 1500, identitiesChange: false, devices: 4 },
      // A connection that comes next mostly hides what was lost: a third of such seeds notice.
      activeMs: 60_000,
    },
    comparesNothing: true,
  },
];

const PRODUCER_AT = 43;
const ATTRIBUTES_AT = 21;
const CHECKSUM_AT = 17;

/** As a producer that is not idempotent writes it. */
function unnumbered(body: readonly Buffer[]): readonly Buffer[] {
  return body.map((piece) => {
    // A batch of format 2; the fields around it are shorter.
    if (piece.length <= 61 || piece[16] !== 2) return piece;
    const copy = Buffer.from(piece);
    copy.writeBigInt64BE(-1n, PRODUCER_AT);
    copy.writeUInt32BE(crc32c(copy, ATTRIBUTES_AT), CHECKSUM_AT);
    return copy;
  });
}
