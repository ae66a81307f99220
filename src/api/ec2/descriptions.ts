import { invalidParameter } from './errors.ts';

/** EC2's longest description, in characters (Unicode code points). */
export const DESCRIPTION_LENGTH_MAX = 255;

/** Control characters but tab and line ends, and what is no character: XML cannot carry them. */
const NOT_TEXT = /[[\p{Cc}--[\t\n\r]]\uFFFE\uFFFF]/v;

/** The description of a request, by default empty. Refuses what is too long or cannot be shown. */
export function parseDescription(text: string | undefined): string {
  const description = text ?? '';
  // There are never more code points than UTF-16 units, and never fewer than half.
  const isLong =
    description.length > DESCRIPTION_LENGTH_MAX &&
    (description.length > 2 * DESCRIPTION_LENGTH_MAX || Array.from(description).length > DESCRIPTION_LENGTH_MAX);
  if (isLong) {
    throw invalidParameter(
      'description',
      `${Array.from(description.slice(0, 2 * DESCRIPTION_LENGTH_MAX))
        .slice(0, 32)
        .join('')}…`,
      `At most ${DESCRIPTION_LENGTH_MAX} characters are allowed.`,
    );
  }
  if (NOT_TEXT.test(description) || !description.isWellFormed()) {
    throw invalidParameter('description', '', 'Control characters are not allowed.');
  }
  return description;
}
