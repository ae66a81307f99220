/** The few operations whose request or reply the AWS tools do not take as the model has it. */
import type { Clock } from '#base/clock.ts';
import type { Document, DocumentRecord, InputRecord } from '#client/command.ts';
import type { Model, OperationModel } from '#wire/aws/model.ts';
import { base64Of } from '#wire/aws/scalars.ts';
import { formFields, formRequest, formText, type EncodedRequest } from './encode-request.ts';
import { presignedQuery } from './presign.ts';
import type { Settings } from './settings.ts';

interface Request {
  readonly model: Model;
  readonly name: string;
  readonly operation: OperationModel;
  readonly input: InputRecord;
}

/** The input as it goes to the wire. */
export function customisedInput(model: Model, name: string, input: InputRecord): InputRecord {
  if (model.service !== 'ec2' || name !== 'RunInstances') return input;
  const given = input['UserData'];
  if (typeof given !== 'string' && !(given instanceof Uint8Array)) return input;
  // The parameter is text that must be base64; the AWS tools encode what the user gives.
  return { ...input, UserData: base64Of(typeof given === 'string' ? Buffer.from(given) : given) };
}

/** The request where it is not the model's alone; null: it is. */
export function customisedRequest(
  request: Request,
  parts: { readonly settings: Settings; readonly clock: Clock },
): EncodedRequest | null {
  const { model, name, operation, input } = request;
  if (model.service !== 'ec2' || name !== 'CopySnapshot' || input['PresignedUrl'] !== undefined) return null;
  const { credentials, endpoint, signingRegion } = parts.settings;
  const sourceRegion = input['SourceRegion'];
  if (credentials === null || typeof sourceRegion !== 'string') return null;
  // EC2 asks the other region with this URL, in the name of who asks.
  const fields = formFields(model, name, operation, input).filter(([field]) => field !== 'DestinationRegion');
  const source = endpoint.replace(`//ec2.${signingRegion}.`, () => `//ec2.${sourceRegion}.`);
  const query = presignedQuery(
    { url: source, query: formText([...fields, ['DestinationRegion', signingRegion]]) },
    { credentials, region: sourceRegion, service: 'ec2', nowMs: parts.clock.nowMs(), expiresSeconds: 3600 },
  );
  return formRequest([...fields, ['PresignedUrl', `${source}/?${query}`], ['DestinationRegion', signingRegion]]);
}

/** The document of a reply as the AWS tools show it. */
export function customisedReply(model: Model, name: string, document: DocumentRecord): DocumentRecord {
  if (model.service !== 'ec2' || name !== 'GetConsoleOutput') return document;
  const output: Document = document['Output'] ?? null;
  if (typeof output !== 'string') return document;
  return { ...document, Output: Buffer.from(output, 'base64').toString('utf8') };
}
