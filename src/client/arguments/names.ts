/** Names of the model as the command line writes them: DescribeVPCs is describe-vpcs. */

/** An acronym in the plural: VPCs, ARNs. */
const PLURAL_ACRONYM = /[A-Z]{2,}s$/;

/** The model's name in lower case with hyphens between its words. */
export function commandNameOf(name: string): string {
  return name
    .replace(PLURAL_ACRONYM, (acronym) => `-${acronym.toLowerCase()}`)
    .replace(/(.)([A-Z][a-z]+)/g, '$1-$2')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase();
}
