/**
 * The values of a profile in one of the AWS tools' shared files, under any of the section names. As botocore reads them:
 * `[name]`, `key = value`, a comment is a line of its own (what follows a value is part of it), indented lines belong to the
 * value above and are not wanted here. A later section of the same name adds to the earlier.
 */
export function profileOf(text: string, sections: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let isWanted = false;
  for (const line of text.split(/\r?\n/)) {
    const section = /^\[\s*(.*?)\s*\]/.exec(line);
    if (section !== null) {
      isWanted = sections.includes(
        (section[1] ?? '').replace(/\s+/g, ' ').replace(/^(profile )["']?(.*?)["']?$/, '$1$2'),
      );
      continue;
    }
    const pair = /^([A-Za-z_][\w.-]*)\s*[=:]\s*(.*?)\s*$/.exec(line);
    if (isWanted && pair !== null) values.set((pair[1] ?? '').toLowerCase(), pair[2] ?? '');
  }
  return values;
}
