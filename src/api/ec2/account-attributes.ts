import type { Handler } from '#api/handler.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidParameter } from './errors.ts';

/** AWS's attributes with the values of a new account that has no default VPC. */
const ATTRIBUTES: ReadonlyMap<string, string> = new Map([
  ['supported-platforms', 'VPC'],
  ['vpc-max-security-groups-per-interface', '5'],
  ['max-elastic-ips', '5'],
  ['max-instances', '20'],
  ['vpc-max-elastic-ips', '5'],
  ['default-vpc', 'none'],
]);

export const describeAccountAttributes: Handler<
  InputOf<'ec2', 'DescribeAccountAttributes'>,
  OutputOf<'ec2', 'DescribeAccountAttributes'>
> = async (_context, request) => {
  const names = request.AttributeNames ?? [];
  for (const name of names) {
    if (!ATTRIBUTES.has(name)) throw invalidParameter('attributeName', name, 'Unknown attribute.');
  }
  endDryRun(request);
  const shown = [...ATTRIBUTES].filter(([name]) => names.length === 0 || names.includes(name));
  return {
    AccountAttributes: shown.map(([name, value]) => ({
      AttributeName: name,
      AttributeValues: [{ AttributeValue: value }],
    })),
  };
};
