import { isLoopback } from './address-pool.ts';
import { refuse } from './errors.ts';
import type { OpenPorts } from './instance.ts';
import { parseRange } from './policy/address.ts';

// What of a machine's ports is open to whom, as Lightsail has it: rules of a protocol and a range of ports each.

/** Whoever opens a port and says nothing else opens it to everybody. */
export const EVERYBODY = { cidrs: ['0.0.0.0/0'], ipv6Cidrs: ['::/0'] } as const;

const PORT_MAX = 65_535;
/** Types and codes of ICMP have a byte; -1 is any. */
const ICMP_MAX = 255;
/** Rules of one machine; as many as AWS has of one. */
const RULE_COUNT_MAX = 60;

/** Refuses: invalid-value. */
export function checkOpenPorts(ports: OpenPorts): OpenPorts {
  const { protocol, fromPort, toPort } = ports;
  const isIcmp = protocol === 'icmp' || protocol === 'icmpv6';
  const [min, max] = isIcmp ? [-1, ICMP_MAX] : [0, PORT_MAX];
  for (const [field, value] of Object.entries({ fromPort, toPort })) {
    if (Number.isInteger(value) && value >= min && value <= max) continue;
    refuse({ kind: 'invalid-value', field, reason: `for ${protocol} it is ${min} to ${max}` });
  }
  // Of ICMP the two are a type and a code, in no order.
  if (!isIcmp && fromPort > toPort) {
    refuse({ kind: 'invalid-value', field: 'fromPort', reason: 'it is not larger than toPort' });
  }
  for (const cidr of ports.cidrs) if (!isCidr(cidr, 4)) refuseCidr('cidrs', cidr);
  for (const cidr of ports.ipv6Cidrs) if (!isCidr(cidr, 6)) refuseCidr('ipv6Cidrs', cidr);
  return ports;
}

function refuseCidr(field: string, cidr: string): never {
  refuse({ kind: 'invalid-value', field, reason: `${cidr} is no address or network of it` });
}

function isCidr(text: string, version: 4 | 6): boolean {
  return parseRange(text)?.bits === (version === 4 ? 32 : 128);
}

/** With these open too: to whom they were open they stay open. Refuses: limit. */
export function openedPorts(before: readonly OpenPorts[], opened: OpenPorts): readonly OpenPorts[] {
  const isThere = before.some((one) => isSameRange(one, opened));
  const all = isThere
    ? before.map((one) => (isSameRange(one, opened) ? union(one, opened) : one))
    : [...before, opened];
  if (all.length > RULE_COUNT_MAX) refuse({ kind: 'limit', limit: 'resources', max: RULE_COUNT_MAX });
  return all;
}

/** These and no others; rules of one range become one. Refuses: limit. */
export function exactPorts(wanted: readonly OpenPorts[]): readonly OpenPorts[] {
  return wanted.reduce<readonly OpenPorts[]>((all, one) => openedPorts(all, one), []);
}

/**
 * Without these; of ports that are not open there is nothing to close. Refuses: invalid-value, when they are a part of a range
 * that is open, which would stay open.
 */
export function closedPorts(before: readonly OpenPorts[], closed: OpenPorts): readonly OpenPorts[] {
  const left = before.filter((one) => !isSameRange(one, closed));
  const part = left.length < before.length ? undefined : left.find((one) => overlaps(one, closed));
  if (part !== undefined) {
    const reason = `ports are closed as they were opened: ${part.protocol} ${part.fromPort} to ${part.toPort}`;
    refuse({ kind: 'invalid-value', field: 'portInfo', reason });
  }
  return left;
}

function isSameRange(a: OpenPorts, b: OpenPorts): boolean {
  return a.protocol === b.protocol && a.fromPort === b.fromPort && a.toPort === b.toPort;
}

function overlaps(a: OpenPorts, b: OpenPorts): boolean {
  return a.protocol === b.protocol && a.fromPort <= b.toPort && b.fromPort <= a.toPort;
}

function union(a: OpenPorts, b: OpenPorts): OpenPorts {
  const aliases = [...new Set([...(a.aliases ?? []), ...(b.aliases ?? [])])];
  return {
    ...a,
    cidrs: [...new Set([...a.cidrs, ...b.cidrs])],
    ipv6Cidrs: [...new Set([...a.ipv6Cidrs, ...b.ipv6Cidrs])],
    ...(aliases.length === 0 ? {} : { aliases }),
  };
}

/** A port of a guest that others reach. */
export interface OpenPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/**
 * Ports of the guest that are to be reached at `address`, `countMax` at most, in the order of the rules. Forwarding cannot
 * tell who calls, so a rule counts only when everybody who reaches the address may: at one of the loopback that is this
 * computer, elsewhere the world. ICMP has no ports.
 */
export function reachablePorts(rules: readonly OpenPorts[], address: string, countMax: number): readonly OpenPort[] {
  const found = new Map<string, OpenPort>();
  for (const rule of rules) {
    if (!rule.cidrs.some((cidr) => cidr === '0.0.0.0/0' || (isLoopback(address) && isOfLoopback(cidr)))) continue;
    const protocols = rule.protocol === 'all' ? (['tcp', 'udp'] as const) : [rule.protocol];
    for (const protocol of protocols) {
      if (protocol !== 'tcp' && protocol !== 'udp') continue;
      for (let port = Math.max(1, rule.fromPort); port <= rule.toPort && found.size < countMax; port += 1) {
        found.set(`${protocol} ${port}`, { protocol, port });
      }
    }
  }
  return [...found.values()];
}

function isOfLoopback(cidr: string): boolean {
  return cidr === '127.0.0.0/8' || cidr === '127.0.0.1/32' || cidr === '127.0.0.1';
}
