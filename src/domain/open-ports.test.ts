import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressAt, parseAddressPool } from './address-pool.ts';
import { DomainError } from './errors.ts';
import type { OpenPorts } from './instance.ts';
import { checkOpenPorts, closedPorts, EVERYBODY, exactPorts, openedPorts, reachablePorts } from './open-ports.ts';

function rule(protocol: OpenPorts['protocol'], fromPort: number, toPort = fromPort, some = {}): OpenPorts {
  return { protocol, fromPort, toPort, ...EVERYBODY, ...some };
}

function refused(kind: string): (error: unknown) => boolean {
  return (error) => error instanceof DomainError && error.failure.kind === kind;
}

test('a pool has all addresses of its network but the first and the last', () => {
  const pool = parseAddressPool('127.10.0.0/24');
  assert.ok(pool !== null);
  assert.equal(addressAt(pool, 0), '127.10.0.1');
  assert.equal(addressAt(pool, pool.count - 1), '127.10.0.254');
  const large = parseAddressPool('192.168.0.0/16');
  assert.ok(large !== null);
  assert.equal(addressAt(large, 255), '192.168.1.0');
  for (const text of ['127.10.0.1/24', '127.0.0.0/8', '127.10.0.0/31', '127.10.0/24', '300.1.1.0/24', '::1/64', '']) {
    assert.equal(parseAddressPool(text), null, text);
  }
});

test('opening a range again opens it to more, and closing closes all of it', () => {
  const one = rule('tcp', 80, 90, { cidrs: ['10.0.0.0/8'], ipv6Cidrs: [] });
  const ssh = rule('tcp', 22);
  const open = openedPorts(openedPorts([ssh], one), rule('tcp', 80, 90, { cidrs: ['11.0.0.0/8'], ipv6Cidrs: [] }));
  assert.deepEqual(open, [ssh, { ...one, cidrs: ['10.0.0.0/8', '11.0.0.0/8'] }]);
  assert.deepEqual(closedPorts(open, rule('tcp', 80, 90)), [ssh]);
  assert.deepEqual(closedPorts(open, rule('udp', 80, 90)), open);
  // What would stay open is not said to be closed.
  assert.throws(() => closedPorts(open, rule('tcp', 85)), refused('invalid-value'));
  assert.deepEqual(exactPorts([ssh, ssh]), [ssh]);
  assert.throws(() => exactPorts(Array.from({ length: 61 }, (_, index) => rule('tcp', index))), refused('limit'));
});

test('ranges and networks that are none are refused', () => {
  for (const wrong of [
    rule('tcp', 90, 80),
    rule('tcp', -1, 80),
    rule('udp', 0, 65_536),
    rule('icmp', 256, 0),
    rule('tcp', 1, 1, { cidrs: ['10.0.0.0/33'] }),
    rule('tcp', 1, 1, { cidrs: ['::/0'] }),
    rule('tcp', 1, 1, { ipv6Cidrs: ['10.0.0.0/8'] }),
    rule('tcp', 1, 1, { ipv6Cidrs: ['2001:db8::1::/64'] }),
    rule('tcp', 1, 1, { ipv6Cidrs: ['2001:db8:1/64'] }),
    rule('tcp', 1, 1, { cidrs: ['10.0.0.256'] }),
    rule('tcp', 1, 1, { cidrs: ['all'] }),
  ]) {
    assert.throws(() => checkOpenPorts(wrong), refused('invalid-value'), JSON.stringify(wrong));
  }
  for (const right of [
    rule('icmp', 8, -1),
    rule('all', 0, 65_535),
    rule('tcp', 1, 1, { cidrs: ['10.0.0.1'], ipv6Cidrs: ['2001:db8::/32'] }),
  ]) {
    assert.equal(checkOpenPorts(right), right);
  }
});

test('only what everybody may reach who reaches the address is forwarded, and not more than the limit', () => {
  const some = rule('tcp', 8080, 8080, { cidrs: ['10.0.0.0/8'] });
  const own = rule('tcp', 5432, 5432, { cidrs: ['127.0.0.0/8'] });
  const rules = [rule('tcp', 22), rule('icmp', 8, -1), some, own, rule('udp', 53)];
  const words = (address: string, max = 99): readonly string[] =>
    reachablePorts(rules, address, max).map(({ protocol, port }) => `${protocol} ${port}`);
  assert.deepEqual(words('127.10.0.1'), ['tcp 22', 'tcp 5432', 'udp 53']);
  assert.deepEqual(words('192.168.1.1'), ['tcp 22', 'udp 53']);
  assert.deepEqual(words('192.168.1.1', 1), ['tcp 22']);
  const all = reachablePorts([rule('all', 0, 65_535)], '127.10.0.1', 10);
  assert.deepEqual(all[0], { protocol: 'tcp', port: 1 });
  assert.equal(all.length, 10);
});
