import { StringDecoder } from 'node:string_decoder';

// oxlint-disable no-control-regex -- These are what is looked for.

/** Colours and their like, which change nothing but how what follows looks. */
const COLOUR = /^\u001B\[[0-9;:]*m$/;
/** A control sequence (CSI), a command with a text (OSC, DCS, …) and its end, another escape of two characters or three. */
const ESCAPE =
  /\u001B\[[0-?]*[ -/]*[@-~]|\u001B[\]PX^_][^\u0007\u001B\n]*(?:\u0007|\u001B\\)|\u001B[ -/]*[0-OQ-WYZ\\`-~]/gu;
/** What may be the beginning of one, at the end of what has come. */
const UNENDED = /(?:\r|\u001B(?:\[[0-?]*[ -/]*|[\]PX^_][^\u0007\u001B\n]*\u001B?|[ -/]*)?)$/u;
/** Longer than this, nothing is waited for. */
const UNENDED_LENGTH_MAX = 4096;
/** Whatever else moves the cursor or turns the direction of text; a colour's escape is looked at by itself. */
const STEERING = /(?!\u001B\[[0-9;:]*m)[\p{Cc}\p{Cf}]/gu;

/**
 * What a guest wrote, as a terminal may be shown it: its text and colours. What would steer the terminal (move the cursor,
 * set the title or the clipboard, ask for answers) is left out; a single control character is shown as U+FFFD.
 */
export class ConsoleText {
  readonly #decoder = new StringDecoder('utf8');
  #held = '';

  /** The next bytes; what may be the beginning of an escape is held until the rest comes. */
  write(bytes: Buffer): string {
    const text = this.#held + this.#decoder.write(bytes);
    const held = UNENDED.exec(text)?.[0] ?? '';
    this.#held = held.length > UNENDED_LENGTH_MAX ? '' : held;
    return harmless(text.slice(0, text.length - this.#held.length));
  }

  /** What was held, when nothing more comes. */
  end(): string {
    const rest = harmless(this.#held + this.#decoder.end());
    this.#held = '';
    return rest;
  }
}

function harmless(text: string): string {
  const plain = text.replace(/\r+\n?/g, '\n').replace(ESCAPE, (one) => (COLOUR.test(one) ? one : ''));
  return plain.replace(STEERING, (one) => (one === '\n' || one === '\t' ? one : '\uFFFD'));
}
