import type { Handler } from '#api/handler.ts';
import type { Scope } from '#domain/volume.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidParameter } from './errors.ts';
import { vpcIdOf } from './instance-network.ts';

/** AWS's attributes with the values of a new account. */
const ATTRIBUTES: ReadonlyMap<string, (scope: Scope) => string> = new Map<string, (scope: Scope) => string>([
  ['supported-platforms', () => 'VPC'],
  ['vpc-max-security-groups-per-interface', () => '5'],
  ['max-elastic-ips', () => '5'],
  ['max-instances', () => '20'],
  ['vpc-max-elastic-ips', () => '5'],
  ['default-vpc', vpcIdOf],
]);

export const describeAccountAttributes: Handler<
  InputOf<'ec2', 'DescribeAccountAttributes'>,
  OutputOf<'ec2', 'DescribeAccountAttributes'>
> = async ({ scope }, request) => {
  const names = request.AttributeNames ?? [];
  for (const name of names) {
    if (!ATTRIBUTES.has(name)) throw invalidParameter('attributeName', name, 'Unknown attribute.');
  }
  endDryRun(request);
  const shown = [...ATTRIBUTES].filter(([name]) => names.length === 0 || names.includes(name));
  return {
    AccountAttributes: shown.map(([name, value]) => ({
      AttributeName: name,
      AttributeValues: [{ AttributeValue: value(scope) }],
    })),
  };
};
