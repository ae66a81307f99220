/**
 * The AWS command line in values: what a line of words asks for, and what its parts hand each other.
 *
 *   words → arguments/ → Command → connection/ → pages of documents → output/ → standard output
 *
 * help/ answers what asks for help. Nothing here knows Varve's server: it works against any endpoint that speaks the model.
 */
import type { ServiceName } from '#wire/aws/operations.ts';
import type { WholeFloat } from './whole-float.ts';

/**
 * A value as JSON has it. Timestamps and blobs of replies stand as the wire gave them, which is how they are printed.
 * A WholeFloat is a number that is printed as 5.0; a bigint is a whole number beyond ±(2^53 - 1). `parseDocument` makes both.
 */
export type Document = null | boolean | number | bigint | string | WholeFloat | readonly Document[] | DocumentRecord;

export interface DocumentRecord {
  readonly [name: string]: Document;
}

/** A value of a request: as a document, and bytes where the model has a blob. */
export type InputValue = null | boolean | number | string | Uint8Array | readonly InputValue[] | InputRecord;

export interface InputRecord {
  readonly [name: string]: InputValue;
}

export type OutputFormat = 'json' | 'text' | 'table' | 'yaml';

/** The options that every operation takes. Null: not given. */
export interface GlobalOptions {
  readonly debug: boolean;
  readonly endpointUrl: string | null;
  readonly verifySsl: boolean;
  readonly paginate: boolean;
  readonly output: OutputFormat | null;
  /** A JMESPath expression, known to be well formed. */
  readonly query: string | null;
  readonly profile: string | null;
  readonly region: string | null;
  readonly color: 'on' | 'off' | 'auto';
  readonly signRequest: boolean;
  /** Path of a PEM file. */
  readonly caBundle: string | null;
  /** Seconds; 0: for ever. Null: 60. */
  readonly cliReadTimeout: number | null;
  readonly cliConnectTimeout: number | null;
}

/** A command line without any of the options that every operation takes. */
export const NO_GLOBALS: GlobalOptions = {
  debug: false,
  endpointUrl: null,
  verifySsl: true,
  paginate: true,
  output: null,
  query: null,
  profile: null,
  region: null,
  color: 'auto',
  signRequest: true,
  caBundle: null,
  cliReadTimeout: null,
  cliConnectTimeout: null,
};

/** Paging as the command line asks for it; null: not given. */
export interface PagingOptions {
  readonly startingToken: string | null;
  readonly maxItems: number | null;
  readonly pageSize: number | null;
}

export const NO_PAGING: PagingOptions = { startingToken: null, maxItems: null, pageSize: null };

/** One call of one operation. */
export interface Call {
  readonly kind: 'call';
  readonly service: ServiceName;
  /** As the model names it: CreateDiskSnapshot. */
  readonly operation: string;
  /** As the command line names it: create-disk-snapshot. */
  readonly commandName: string;
  readonly input: InputRecord;
  readonly globals: GlobalOptions;
  readonly paging: PagingOptions;
  /** Where a reply's stream of bytes goes (`ebs get-snapshot-block … FILE`); null where the reply has none. */
  readonly outfile: string | null;
  /** Path of the private key that decrypts the PasswordData of the reply (`ec2 get-password-data --priv-launch-key FILE`). */
  readonly launchKey?: string;
}

/** `varve ec2 wait snapshot-completed …`. */
export interface Wait {
  readonly kind: 'wait';
  readonly service: ServiceName;
  /** As the model names it: SnapshotCompleted. */
  readonly waiter: string;
  readonly call: Call;
}

/** Text that is known without a call: a skeleton, a version. */
export interface Print {
  readonly kind: 'print';
  readonly text: string;
}

/** A skeleton of a reply, printed as a reply is: in the format, and by the query, of the options. */
export interface PrintDocument {
  readonly kind: 'document';
  readonly service: ServiceName;
  readonly operation: string;
  readonly commandName: string;
  readonly document: DocumentRecord;
  readonly globals: GlobalOptions;
}

/** `help` at any place: of everything, of a service, of an operation, of `wait`, of a waiter. */
export interface Help {
  readonly kind: 'help';
  readonly service: ServiceName | null;
  /** As the model names it; null: the service's own. */
  readonly operation: string | null;
  /** Empty string: all waiters of the service. */
  readonly waiter: string | null;
  readonly color: 'on' | 'off' | 'auto';
}

export type Command = Call | Wait | Print | PrintDocument | Help;

/** Ends the command: words for standard error, as the AWS command line writes them, and the exit code. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly exitCode: number;

  /** `message`: whole, with its line ends, as it goes to standard error. */
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What the process has around it; tests give their own. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of the user's home directory. */
  readonly home: string;
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /**
   * The server that runs here, asked where neither options, environment nor configuration name credentials or an endpoint;
   * null: there is none.
   */
  readonly localServer: () => Promise<LocalServer | null>;
}

export interface LocalServer {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** What a call is answered: as one document, or page by page. Read it once, one way. */
export interface Reply {
  /** All pages merged into one, as json, yaml and table print them; with `NextToken` where `--max-items` left some out. */
  readonly whole: () => Promise<DocumentRecord>;
  /** One document for each page, as text prints them, which applies a query to each. */
  readonly pages: () => AsyncIterable<DocumentRecord>;
  /** Where `--max-items` stopped, for `--starting-token`; null: nothing is left. Known once the pages are read. */
  readonly resumeToken: () => string | null;
  /** Whether pages were asked for one after the other. */
  readonly paged: boolean;
}
