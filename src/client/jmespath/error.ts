/** An expression that cannot be read, or not evaluated on a document; the message is that of the AWS command line. */
export class JmespathError extends Error {
  override readonly name = 'JmespathError';
}
