/** Another TLS stack than the runtime's own build, restricted as small devices are: `openssl s_client` at every TLS port. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { startHub, type TestHub } from '../test/drivers/hub.ts';

let hub: TestHub;
before(async () => {
  hub = await startHub();
});
after(() => hub[Symbol.asyncDispose]());

/** What each stack is to be shown: `Peer signature type` of its report. */
const stacks: readonly (readonly [what: string, args: readonly string[], shown: RegExp])[] = [
  ['everything', [], /type: ECDSA/],
  ['RSA suites of TLS 1.2 only', ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256'], /type: RSA/],
  ['RSA signatures only', ['-sigalgs', 'RSA-PSS+SHA256:RSA+SHA256'], /type: RSA/],
  ['curve P-384 only', ['-tls1_2', '-groups', 'P-384'], /type: RSA/],
  ['curve P-384 only, TLS 1.3', ['-tls1_3', '-groups', 'P-384'], /type: ECDSA/],
  ['TLS 1.2 only', ['-tls1_2'], /type: ECDSA/],
  ['no server name', ['-noservername'], /type: ECDSA/],
  ['small fragments', ['-max_send_frag', '512', '-split_send_frag', '512'], /type: ECDSA/],
];

for (const port of ['mqtts', 'amqps', 'https'] as const) {
  for (const [what, args, shown] of stacks) {
    test(`${port}: ${what}`, async () => {
      const place = ['-connect', `127.0.0.1:${hub.endpoints.ports[port]}`, '-CAfile', hub.endpoints.caFile];
      const report = await new Promise<string>((resolve) => {
        const all = ['s_client', ...place, '-verify_return_error', ...args];
        execFile('openssl', all, { timeout: 20_000 }, (_error, out, err) => resolve(out + err)).stdin?.end();
      });
      assert.match(report, shown, report);
      assert.match(report, /Verify return code: 0 \(ok\)/);
    });
  }
}
