/** What attackers write to the HTTPS port, its blob endpoint and the admin port. */
import { limits } from '../../src/base/limits.ts';
import { deviceToken } from './good-client.ts';
import { EVIL, httpRequest, type Kit, LANES, policyToken, VERSION } from './lines.ts';
import { largeTwins } from './twin-attacks.ts';

export function* httpOfStranger(_kit: Kit, turn: number): Iterable<Buffer> {
  const wrong = `SharedAccessSignature sr=localhost%2Fdevices%2Fx&sig=${'A'.repeat(43)}%3D&se=9999999999`;
  const more = { authorization: wrong, headers: Array.from({ length: 200 }, (_, at) => `x${at}: y`) };
  yield Buffer.concat(Array.from({ length: 25 }, () => httpRequest('GET', `/devices/x${turn % 40}?${VERSION}`, more)));
  yield httpRequest('POST', `/devices/x/messages/events?${VERSION}`, { length: 1_000_000, body: Buffer.alloc(60_000) });
}

export function* httpOfDevice({ hub }: Kit, turn: number): Iterable<Buffer> {
  const authorization = deviceToken(hub, EVIL);
  const path = `/devices/${EVIL}/messages`;
  const headers = ['Content-Type: application/vnd.microsoft.iothub.json'];
  const batch = turn % 2 === 0 ? `[${'1,'.repeat(100_000)}1]` : `[${'{"body":""},'.repeat(4000)}{"body":""}]`;
  yield Buffer.concat(
    Array.from({ length: 25 }, () => httpRequest('GET', `${path}/devicebound?${VERSION}`, { authorization })),
  );
  yield httpRequest('POST', `${path}/events?${VERSION}`, { authorization, headers, body: batch });
}

export function* httpOfBackEnd({ hub }: Kit, turn: number): Iterable<Buffer> {
  const authorization = policyToken(hub, 'service');
  const json = { authorization, headers: ['Content-Type: application/json'] };
  const method = {
    methodName: 'm',
    connectTimeoutInSeconds: 300,
    responseTimeoutInSeconds: 300,
    payload: 'x'.repeat(60_000),
  };
  const tags = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`t${at}`, turn]));
  for (let nth = 0; nth < 8; nth++) {
    yield httpRequest('PATCH', `/twins/${EVIL}?${VERSION}`, { ...json, body: JSON.stringify({ tags }) });
    yield httpRequest('GET', `/twins/${EVIL}?${VERSION}`, json);
    yield httpRequest('POST', `/devices/query?${VERSION}`, {
      ...json,
      body: JSON.stringify({ query: 'SELECT * FROM devices' }),
    });
  }
  yield httpRequest('POST', `/twins/${EVIL}/methods?${VERSION}`, { ...json, body: JSON.stringify(method) });
}

export function* filesOfStranger(_kit: Kit, turn: number): Iterable<Buffer> {
  const url = `/hub-files/${EVIL}/f${turn}?sv=2018-03-28&sr=b&sig=${'A'.repeat(43)}%3D&se=2099-01-01T00%3A00%3A00Z&sp=rw`;
  yield httpRequest('PUT', `${url}&comp=blocklist`, {
    length: limits.fileBlockListBytesMax,
    body: Buffer.alloc(60_000, 0x20),
  });
  yield Buffer.alloc(200_000, 0x20);
}

/** Uploads that are begun, and block lists that cost as much as they can, by the URLs that the device got. */
export function filesOfDevice(kit: Kit): Promise<void> {
  const lane = async (at: number): Promise<void> => {
    for (let turn = 0; !kit.signal.aborted; turn++) {
      const line = await kit.open('files').catch(() => undefined);
      if (line === undefined) await kit.pause(20);
      else {
        const answer = new Promise<string>((resolve) => {
          line.once('data', (bytes: Buffer) => resolve(bytes.toString('latin1')));
          line.once('close', () => resolve(''));
        });
        const begun = {
          authorization: deviceToken(kit.hub, EVIL),
          body: JSON.stringify({ blobName: `f${at}-${turn}` }),
        };
        await kit.write(
          line,
          httpRequest('POST', `/devices/${EVIL}/files?${VERSION}`, {
            ...begun,
            headers: ['Content-Type: application/json'],
          }),
        );
        const ticket = /\{.*\}/s.exec(await Promise.race([answer, kit.pause(2000).then(() => '')]))?.[0];
        const { containerName, blobName, sasToken } = JSON.parse(ticket ?? '{}');
        const url = containerName === undefined ? '/hub-files/x?sv=1&x' : `/${containerName}/${blobName}${sasToken}`;
        const list = `<BlockList>${'<Latest>QQ==</Latest>'.repeat(40_000)}</BlockList>`;
        await kit.write(
          line,
          httpRequest('PUT', `${url}&comp=blocklist`, { body: turn % 2 === 0 ? list : ' '.repeat(1_000_000) }),
        );
        await kit.write(
          line,
          httpRequest('PUT', `${url}&comp=block&blockid=QQ%3D%3D`, { body: Buffer.alloc(500_000) }),
        );
        await kit.pause(50);
        line.destroy();
      }
    }
  };
  return Promise.all(Array.from({ length: LANES }, (_, at) => lane(at))).then(() => {});
}

export function* filesOfBackEnd({ hub }: Kit, turn: number): Iterable<Buffer> {
  const authorization = policyToken(hub, 'service');
  yield httpRequest('PUT', `/mooring/v1/files/hub/f${turn % 50}?${VERSION}`, {
    authorization,
    body: Buffer.alloc(300_000),
  });
  for (let nth = 0; nth < 10; nth++)
    yield httpRequest('GET', `/mooring/v1/files/hub/f${turn % 50}?${VERSION}`, { authorization });
}

export const twinsOfBackEnd = ({ hub }: Kit, turn: number): Iterable<Buffer> =>
  largeTwins(
    EVIL,
    turn,
    { authorization: policyToken(hub, 'service'), headers: ['Content-Type: application/json'] },
    VERSION,
  );

/** The admin port asks nobody who he is: what every user of the machine can ask for, and what pages of others would. */
export function* adminOfStranger({ hub }: Kit): Iterable<Buffer> {
  const host = `localhost:${hub.endpoints.ports.admin}`;
  yield Buffer.concat(Array.from({ length: 15 }, () => httpRequest('GET', '/metrics', { host })));
  yield Buffer.concat(Array.from({ length: 15 }, () => httpRequest('GET', '/openapi.json', { host })));
  yield httpRequest('GET', '/metrics', { host, headers: ['Origin: https://elsewhere.example'] });
}
