import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { ec2Face } from './face.ts';
import { refusalOf, Scene } from './scene.fake.ts';

interface Documentation {
  readonly shapes: Readonly<Record<string, Readonly<Record<string, string>> | undefined>>;
}

/** The filters that the API reference lists for an operation; one of tags by a key stands for all. */
function documented({ shapes }: Documentation, operation: string): readonly string[] {
  const [, list = ''] = /<ul>([^]*)<\/ul>/.exec(shapes[`${operation}Request`]?.['Filters'] ?? '') ?? [];
  // A list in it is of values.
  const text = list.replaceAll(/<ul>[^]*?<\/ul>/g, '');
  const names = [...text.matchAll(/<li>\s*<p>\s*<code>([^<]+)<\/code>/g)].map(([, name = '']) => name);
  return names.map((name) => (name.startsWith('tag:') ? 'tag:key' : name)).filter((name) => name !== 'tag');
}

test('every filter that the API reference lists is taken, also of what nothing here has', async () => {
  await using scene = await Scene.open();
  const url = new URL('../../wire/aws/docs/ec2.json', import.meta.url);
  const documentation = JSON.parse(await readFile(url, 'utf8')) as Documentation;
  const refused: string[] = [];
  let count = 0;
  for (const operation of ec2Face.handlers.keys()) {
    for (const name of documented(documentation, operation)) {
      count += 1;
      // The names of the operations have lost their types; all of these take filters and need nothing else.
      const Filters = [{ Name: name, Values: ['true'] }];
      const words = await refusalOf(scene.ec2(operation as 'DescribeInstances', { Filters }));
      if (words.startsWith('InvalidParameterValue: The filter')) refused.push(`${operation} ${name}`);
    }
  }
  assert.ok(count > 300, `${count} filters are listed`);
  assert.deepEqual(refused, []);
});
