/**
 * What carries a session's bytes: a socket of the event loop, any duplex stream (TLS), a blocking loop in a worker, or
 * an array in a test. The session is told of input through NbdSink and sends through this.
 */
export interface NbdTransport {
  /**
   * Sends after all that was sent before. True: the bytes are gone, and the buffer can be reused at once. False: they
   * are the transport's until it calls `sink.sent`, once for each such call, in their order.
   */
  send(bytes: Uint8Array): boolean;
  /** Bytes that it keeps, where it can say: they become fewer while the client takes them. */
  unsentBytes?(): number;
  /**
   * While no input is delivered: the client is gone, although its last input and the end of it were not seen yet. `pausedMs`:
   * for how long nothing was delivered; where it is costly to find out, a short time is not looked into.
   */
  isClientGone?(pausedMs: number): boolean;
  /** Delivers again, after `received` answered false. */
  resume(): void;
  /** Closes once all is sent. */
  end(): void;
  /** Closes now. */
  destroy(): void;
}

/** The session, as its transport sees it. No call is made from within a call to the transport. */
export interface NbdSink {
  /** Where the next bytes of input go; asked for at the start and after each `received`, and good until the next. Never empty. */
  target(): Uint8Array;
  /** `count` bytes were put at the start of the target. False: deliver no more until `resume`. */
  received(count: number): boolean;
  /** The oldest bytes for which `send` answered false are gone. */
  sent(): void;
  /** The client will send no more. */
  ended(): void;
  /** The connection is gone, whoever closed it; the last call. */
  closed(): void;
}
