import { defineFace, type Face } from '#api/handler.ts';
import { accountHandlers } from './account.ts';
import { mapFailure } from './errors.ts';
import { policyHandlers } from './policies.ts';
import { roleHandlers } from './roles.ts';
import { simulatePrincipalPolicy } from './simulate.ts';
import { userHandlers } from './users.ts';

/** IAM: users and their keys, roles, policies. */
export const iamFace: Face = defineFace({
  service: 'iam',
  repeatable: ['Get', 'List', 'Simulate'],
  mapFailure,
  handlers: {
    ...accountHandlers,
    ...policyHandlers,
    ...roleHandlers,
    ...userHandlers,
    SimulatePrincipalPolicy: simulatePrincipalPolicy,
  },
});
