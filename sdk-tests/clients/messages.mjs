// The messages that the tests send, made from a device's id and a number alone, so that a reader's side can say what must
// arrive. Names and values hold whatever a property bag must escape, and text outside ASCII.

const ODD = [' ', '&=?#/%+', 'ä€😀', "!'()*", '%2F%20', '$x', 'a;b,c:d', '"\\', ''];

/** A device's n-th message: body in base64, properties as [name, value] in the order in which they are added. */
export function messageOf(deviceId, n) {
  return {
    body: bodyOf(deviceId, n).toString('base64'),
    properties: [
      ['n', String(n)],
      ['device', deviceId],
      [`odd ${ODD[n % ODD.length]}`, ODD[(n + 3) % ODD.length]],
      ['ünï', `=${ODD[(n + 5) % ODD.length]}&`],
    ],
    messageId: `${deviceId}-${n}`,
    correlationId: `cor:${n % 7}/ä b&c`,
    contentType: n % 2 === 0 ? 'application/json' : 'application/octet-stream',
    contentEncoding: 'utf-8',
    userId: n % 3 === 0 ? `user ${n}` : undefined,
  };
}

function bodyOf(deviceId, n) {
  switch (n % 5) {
    case 0:
      return Buffer.from(JSON.stringify({ deviceId, n, text: 'Grüße €😀' }));
    case 1:
      return Buffer.from(Array.from({ length: 256 }, (_, at) => (at * 7 + n) & 255));
    case 2:
      return Buffer.alloc(0);
    case 3:
      return Buffer.alloc(4000, `${deviceId}/${n} `);
    default:
      return Buffer.from([n & 255]);
  }
}
