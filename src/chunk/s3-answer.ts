/** Reads what S3 answers: small documents of known elements, without attributes or entities beyond XML's own. */

export interface S3Answer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

export function headerOf(answer: S3Answer, name: string): string | null {
  const value = answer.headers[name];
  return typeof value === 'string' ? value : null;
}

export interface S3ErrorBody {
  readonly code: string;
  readonly message: string;
  /** Where the bucket is, when the error says so. */
  readonly region: string | null;
}

/** What the error says of itself; null when its body is not S3's: another program answered. */
export function errorBodyOf(answer: S3Answer): S3ErrorBody | null {
  const region = headerOf(answer, 'x-amz-bucket-region');
  const document = answer.body.toString('utf8');
  const code = elementOf(document, 'Code');
  if (code === null) return null;
  return { code, message: elementOf(document, 'Message') ?? '', region: elementOf(document, 'Region') ?? region };
}

export interface S3ListPage {
  readonly objects: readonly { readonly key: string; readonly sizeBytes: number }[];
  /** Null: the last page. */
  readonly next: string | null;
}

/** A page of ListObjectsV2 with `encoding-type=url`; null when the body is not one. */
export function listPageOf(answer: S3Answer): S3ListPage | null {
  const document = answer.body.toString('utf8');
  if (elementOf(document, 'ListBucketResult') === null) return null;
  const objects: { key: string; sizeBytes: number }[] = [];
  for (const content of elementsOf(document, 'Contents')) {
    const key = decodedKey(elementOf(content, 'Key') ?? '');
    const size = elementOf(content, 'Size') ?? '';
    if (key === null || !/^\d{1,15}$/.test(size)) return null;
    objects.push({ key, sizeBytes: Number(size) });
  }
  if (elementOf(document, 'IsTruncated') !== 'true') return { objects, next: null };
  const next = elementOf(document, 'NextContinuationToken');
  return next === null ? null : { objects, next };
}

/** The content of the first such element, unescaped; null when there is none. Linear in the document, whatever it holds. */
export function elementOf(document: string, name: string): string | null {
  const found = elementFrom(document, name, 0);
  return found === null ? null : unescapeXml(found.content);
}

function* elementsOf(document: string, name: string): Generator<string> {
  for (let found = elementFrom(document, name, 0); found !== null; found = elementFrom(document, name, found.end)) {
    yield found.content;
  }
}

/** The first element of the name that begins at `from` or later, as it is written. None of those asked for here holds another of its name. */
function elementFrom(
  document: string,
  name: string,
  from: number,
): { readonly content: string; readonly end: number } | null {
  const opening = `<${name}`;
  for (let at = document.indexOf(opening, from); at !== -1; at = document.indexOf(opening, at + 1)) {
    const after = document.charAt(at + opening.length);
    if (after !== '>' && after !== '/' && after.trim() !== '') continue; // A longer name.
    const open = document.indexOf('>', at);
    if (open === -1) return null;
    if (document.charAt(open - 1) === '/') return { content: '', end: open + 1 };
    const close = document.indexOf(`</${name}>`, open);
    return close === -1 ? null : { content: document.slice(open + 1, close), end: close + name.length + 3 };
  }
  return null;
}

function decodedKey(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}

const ENTITIES = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
  ['apos', "'"],
]);

function unescapeXml(text: string): string {
  return text.replace(
    /&(?:([a-z]+)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g,
    (whole, name?: string, decimal?: string, hex?: string) => {
      if (name !== undefined) return ENTITIES.get(name) ?? whole;
      const point = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal);
      return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
    },
  );
}
