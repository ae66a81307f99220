import type { CallContext, Handler } from '#api/handler.ts';
import { allOf } from '#control/identity/documents.ts';
import * as control from '#control/identity/identities.ts';
import type { IdentityRecord } from '#control/identity/records.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { AccountId } from '#domain/ids.ts';
import type * as model from '#wire/aws/models/iam.ts';
import { attachedViews } from './attached.ts';
import { identityHandler } from './errors.ts';
import { pageOf, type PageOf } from './paging.ts';
import { documentView, parseTags, tagViews } from './views.ts';

interface Paged {
  readonly PathPrefix?: string | undefined;
  readonly Marker?: string | undefined;
  readonly MaxItems?: number | undefined;
}

type More = PageOf<never>['more'];

interface Whom {
  readonly ports: ControlPorts;
  readonly account: AccountId;
  readonly name: string;
}

/** The operations that users and roles have alike. `nameOf`: whom a request means. */
export function operationsOf<R extends IdentityRecord, Named>(sort: control.Sort<R>, nameOf: (input: Named) => string) {
  const changing = <Input extends Named>(
    change: (whom: Whom, input: Input) => Promise<void>,
  ): Handler<Input, model.Nothing> =>
    identityHandler(async ({ ports, scope }, input) => {
      await change({ ports, account: scope.account, name: nameOf(input) }, input);
      return {};
    });
  const reading = <Input extends Named, Output>(read: (record: R, input: Input) => Output): Handler<Input, Output> =>
    identityHandler(async ({ ports, scope }, input) =>
      read(await control.findIdentity(ports, sort, scope.account, nameOf(input)), input),
    );
  type WithArn = Named & { readonly PolicyArn: string };
  type WithPolicy = Named & { readonly PolicyName: string };

  return {
    attachPolicy: changing<WithArn>(async ({ ports, account, name }, { PolicyArn: policyArn }) => {
      await control.attachPolicy(ports, sort, account, { name, policyArn });
    }),

    detachPolicy: changing<WithArn>(async ({ ports, account, name }, { PolicyArn: policyArn }) => {
      await control.detachPolicy(ports, sort, account, { name, policyArn });
    }),

    listAttached: reading<Named & Paged, model.ListAttachedUserPoliciesResponse>((record, input) =>
      attachedViews(record, input),
    ),

    putPolicy: changing<WithPolicy & { readonly PolicyDocument: string }>(
      async ({ ports, account, name: owner }, input) => {
        const { PolicyName: name, PolicyDocument: document } = input;
        await control.putInlinePolicy(ports, sort, account, { owner, name, document });
      },
    ),

    getPolicy: reading<
      WithPolicy,
      { readonly owner: string; readonly PolicyName: string; readonly PolicyDocument: string }
    >((record, input) => {
      const { name, document } = control.inlinePolicyOf(record, input.PolicyName);
      return { owner: record.name, PolicyName: name, PolicyDocument: documentView(document) };
    }),

    deletePolicy: changing<WithPolicy>(async ({ ports, account, name: owner }, { PolicyName: name }) => {
      await control.deleteInlinePolicy(ports, sort, account, { owner, name });
    }),

    listPolicies: reading<Named & Paged, { readonly PolicyNames: readonly string[] } & More>(({ inline }, input) => {
      const { items, more } = pageOf(inline, ({ name }) => name, input);
      return { PolicyNames: items.map(({ name }) => name), ...more };
    }),

    tag: changing<Named & { readonly Tags: readonly model.Tag[] }>(async ({ ports, account, name }, { Tags: tags }) => {
      await control.tagIdentity(ports, sort, account, { name, tags: parseTags(tags) });
    }),

    untag: changing<Named & { readonly TagKeys: readonly string[] }>(
      async ({ ports, account, name }, { TagKeys: keys }) => {
        await control.untagIdentity(ports, sort, account, { name, keys });
      },
    ),

    listTags: reading<Named & Paged, { readonly Tags: readonly model.Tag[] } & More>(({ tags }, input) => {
      const { items, more } = pageOf(tags, ({ key }) => key, input);
      return { Tags: tagViews(items), ...more };
    }),

    putBoundary: changing<Named & { readonly PermissionsBoundary: string }>(async ({ ports, account, name }, input) => {
      await control.setBoundary(ports, sort, account, { name, boundary: input.PermissionsBoundary });
    }),

    deleteBoundary: changing<Named>(async ({ ports, account, name }) => {
      await control.setBoundary(ports, sort, account, { name, boundary: null });
    }),

    /** One page of all of an account, by name. */
    list: async ({ ports, scope }: CallContext, input: Paged): Promise<PageOf<R>> => {
      const all = await ports.meta.read((tx) => allOf(tx, sort.documents, scope.account));
      const under = all.filter(({ path }) => path.startsWith(input.PathPrefix ?? '/'));
      return pageOf(under, ({ name }) => name, input);
    },
  };
}
