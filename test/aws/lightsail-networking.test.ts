import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

/** What Lightsail has beside machines and needs none for, with the real `aws`. */

let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

async function lightsail<T>(...words: readonly string[]): Promise<T> {
  return await server.awsJson<T>(['lightsail', ...words]);
}

test('static IPs and contact methods are kept; an alarm needs an instance; of load balancers there are none', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  interface Operations {
    readonly operations: readonly { readonly status: string; readonly operationType: string }[];
  }
  const { operations } = await lightsail<Operations>('allocate-static-ip', '--static-ip-name', 'front');
  assert.deepEqual(
    operations.map(({ status, operationType }) => [status, operationType]),
    [['Succeeded', 'AllocateStaticIp']],
  );
  interface StaticIps {
    readonly staticIps: readonly { readonly ipAddress: string; readonly isAttached: boolean }[];
  }
  const [staticIp] = (await lightsail<StaticIps>('get-static-ips')).staticIps;
  assert.match(staticIp?.ipAddress ?? '', /^127\.10\./);
  assert.equal(staticIp?.isAttached, false);
  await lightsail('release-static-ip', '--static-ip-name', 'front');

  await lightsail('create-contact-method', '--protocol', 'Email', '--contact-endpoint', 'ops@example.com');
  interface ContactMethods {
    readonly contactMethods: readonly { readonly protocol: string; readonly status: string }[];
  }
  const { contactMethods } = await lightsail<ContactMethods>('get-contact-methods');
  assert.deepEqual(
    contactMethods.map(({ protocol, status }) => [protocol, status]),
    [['Email', 'PendingVerification']],
  );
  const rule = ['--comparison-operator', 'GreaterThanThreshold', '--threshold', '50', '--evaluation-periods', '2'];
  const watched = ['--metric-name', 'CPUUtilization', '--monitored-resource-name', 'nobody'];
  const { code, stderr } = await server.aws(['lightsail', 'put-alarm', '--alarm-name', 'hot', ...watched, ...rule]);
  assert.notEqual(code, 0);
  assert.match(stderr, /\(NotFoundException\)/);
  assert.deepEqual(await lightsail('get-load-balancers'), { loadBalancers: [] });
});
