import { refuseInvalid } from './errors.ts';

/** A day as `YYYY-MM-DD`, and one that the calendar has. */
export function parseDate(text: string, parameter: string): string {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : null;
  const isDate = at !== null && !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
  if (!isDate) refuseInvalid(`${parameter}: ${text} is not a date of the form YYYY-MM-DD.`, 'Correct the date.');
  return text;
}
