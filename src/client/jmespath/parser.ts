import { pythonSource, pythonText } from '#client/python-text.ts';
import { JmespathError } from './error.ts';
import { CURRENT, type Comparison, type Expression } from './expression.ts';
import { tokensOf, type Token, type TokenType } from './lexer.ts';

/** How strongly a token binds what stands left of it; tokens not named here end an expression. */
const BINDING: Readonly<Partial<Record<TokenType, number>>> = {
  pipe: 1,
  or: 2,
  and: 3,
  eq: 5,
  gt: 5,
  lt: 5,
  gte: 5,
  lte: 5,
  ne: 5,
  flatten: 9,
  star: 20,
  filter: 21,
  dot: 40,
  not: 45,
  lbrace: 50,
  lbracket: 55,
  lparen: 60,
};

/** What binds less than this ends a projection. */
const PROJECTION_END = 10;

/** Deeper than any expression is written; keeps a hostile one from the end of the stack. */
const DEPTH_MAX = 500;

/** The tree of an expression. Throws JmespathError in the words of the AWS command line. */
export function parseExpression(source: string): Expression {
  return new Parser(source).parse();
}

function binding(type: TokenType): number {
  return BINDING[type] ?? 0;
}

/**
 * Operator precedence after Pratt: `#prefix` reads what a token begins, `#infix` what it continues. It accepts exactly what
 * the AWS command line accepts, which is a little more than the grammar: commas between arguments may be left out.
 */
class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #index = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokensOf(source);
  }

  parse(): Expression {
    const expression = this.#expression(0);
    const token = this.#token();
    if (token.type !== 'eof') throw this.#error(token, `Unexpected token: ${pythonText(token.value)}`);
    return expression;
  }

  #token(ahead = 0): Token {
    const token = this.#tokens[this.#index + ahead];
    if (token === undefined) throw new JmespathError('list index out of range');
    return token;
  }

  get #type(): TokenType {
    return this.#token().type;
  }

  #next(): Token {
    const token = this.#token();
    this.#index++;
    return token;
  }

  #expression(power: number): Expression {
    if (++this.#depth > DEPTH_MAX) throw new JmespathError('maximum recursion depth exceeded');
    let left = this.#prefix(this.#next());
    while (power < binding(this.#type)) left = this.#infix(left, this.#next());
    this.#depth--;
    return left;
  }

  #prefix(token: Token): Expression {
    if (token.type === 'eof') throw this.#incomplete();
    const read = this.#prefixes[token.type];
    if (read === undefined) throw this.#error(token, 'invalid token');
    return read(token);
  }

  /** What begins with a token, which is read already. */
  readonly #prefixes: Readonly<Partial<Record<TokenType, (token: Token) => Expression>>> = {
    literal: ({ value }) => ({ kind: 'literal', value }),
    unquoted_identifier: (token) => ({ kind: 'field', name: nameOf(token) }),
    quoted_identifier: (token) => this.#quotedField(token),
    current: () => CURRENT,
    star: () => this.#members(),
    filter: () => this.#filter(CURRENT),
    flatten: () => this.#flatten(CURRENT),
    lbrace: () => this.#record(),
    lparen: () => this.#parenthesized(),
    not: () => ({ kind: 'not', of: this.#expression(binding('not')) }),
    expref: () => ({ kind: 'reference', of: this.#expression(0) }),
    lbracket: () => this.#bracketed(),
  };

  #infix(left: Expression, token: Token): Expression {
    const read = this.#infixes[token.type];
    if (read === undefined) throw this.#error(token, 'invalid token');
    return read(left);
  }

  /** What continues with a token, which is read already. */
  readonly #infixes: Readonly<Partial<Record<TokenType, (left: Expression) => Expression>>> = {
    dot: (left) => this.#dot(left),
    pipe: (left) => ({ kind: 'chain', steps: [left, this.#expression(binding('pipe'))], indexes: false }),
    or: (left) => ({ kind: 'or', left, right: this.#expression(binding('or')) }),
    and: (left) => ({ kind: 'and', left, right: this.#expression(binding('and')) }),
    eq: (left) => this.#comparison(left, 'eq'),
    ne: (left) => this.#comparison(left, 'ne'),
    lt: (left) => this.#comparison(left, 'lt'),
    lte: (left) => this.#comparison(left, 'lte'),
    gt: (left) => this.#comparison(left, 'gt'),
    gte: (left) => this.#comparison(left, 'gte'),
    flatten: (left) => this.#flatten(left),
    filter: (left) => this.#filter(left),
    lbracket: (left) => this.#indexed(left),
    lparen: (left) => this.#call(left),
  };

  #quotedField(token: Token): Expression {
    if (this.#type === 'lparen') {
      throw this.#error({ ...this.#token(), start: 0 }, 'Quoted identifier not allowed for function names.');
    }
    return { kind: 'field', name: nameOf(token) };
  }

  #members(): Expression {
    const right = this.#type === 'rbracket' ? CURRENT : this.#projected(binding('star'));
    return { kind: 'valueProjection', of: CURRENT, right };
  }

  #parenthesized(): Expression {
    const inner = this.#expression(0);
    this.#expect('rparen');
    return inner;
  }

  #comparison(left: Expression, comparison: Comparison): Expression {
    return { kind: 'comparison', comparison, left, right: this.#expression(binding(comparison)) };
  }

  #dot(left: Expression): Expression {
    if (this.#type === 'star') {
      this.#next();
      return { kind: 'valueProjection', of: left, right: this.#projected(binding('dot')) };
    }
    return { kind: 'chain', steps: [left, this.#afterDot(binding('dot'))], indexes: false };
  }

  #flatten(of: Expression): Expression {
    return { kind: 'projection', of: { kind: 'flatten', of }, right: this.#projected(binding('flatten')) };
  }

  #filter(of: Expression): Expression {
    const condition = this.#expression(0);
    this.#expect('rbracket');
    const right = this.#type === 'flatten' ? CURRENT : this.#projected(binding('filter'));
    return { kind: 'filterProjection', of, right, condition };
  }

  /** `[` that begins an expression. */
  #bracketed(): Expression {
    if (this.#type === 'number' || this.#type === 'colon') return this.#indexOf(CURRENT);
    if (this.#type === 'star' && this.#token(1).type === 'rbracket') {
      this.#index += 2;
      return { kind: 'projection', of: CURRENT, right: this.#projected(binding('star')) };
    }
    return this.#list();
  }

  /** `[` after an expression. */
  #indexed(left: Expression): Expression {
    if (this.#type === 'number' || this.#type === 'colon') return this.#indexOf(left);
    this.#expect('star');
    this.#expect('rbracket');
    return { kind: 'projection', of: left, right: this.#projected(binding('star')) };
  }

  #indexOf(left: Expression): Expression {
    const index = this.#position();
    // A slice of what was just indexed projects nothing: `a[0][1:2].b` is null.
    if (left.kind === 'chain' && left.indexes) return { ...left, steps: [...left.steps, index] };
    const chain: Expression = { kind: 'chain', steps: [left, index], indexes: true };
    if (index.kind !== 'slice') return chain;
    return { kind: 'projection', of: chain, right: this.#projected(binding('star')) };
  }

  #position(): Expression {
    if (this.#type === 'colon' || this.#token(1).type === 'colon') return this.#slice();
    const index = numberOf(this.#next());
    this.#expect('rbracket');
    return { kind: 'index', index };
  }

  #slice(): Expression {
    const parts: (number | null)[] = [null, null, null];
    let colons = 0;
    while (this.#type !== 'rbracket') {
      const token = this.#token();
      if (token.type === 'number') parts[colons] = numberOf(token);
      else if (token.type !== 'colon' || ++colons === parts.length) throw this.#error(token, 'syntax error');
      this.#next();
    }
    this.#expect('rbracket');
    const [start = null, stop = null, step = null] = parts;
    return { kind: 'slice', start, stop, step };
  }

  #call(left: Expression): Expression {
    if (left.kind !== 'field') {
      const before = this.#token(-2);
      throw this.#error(before, `Invalid function name '${pythonText(before.value)}'`);
    }
    const operands: Expression[] = [];
    while (this.#type !== 'rparen') {
      operands.push(this.#expression(0));
      if (this.#type === 'comma') this.#next();
    }
    this.#next();
    return { kind: 'call', name: left.name, operands };
  }

  #list(): Expression {
    const items = [this.#expression(0)];
    while (this.#type !== 'rbracket') {
      this.#expect('comma');
      items.push(this.#expression(0));
    }
    this.#next();
    return { kind: 'list', items };
  }

  #record(): Expression {
    const members: (readonly [string, Expression])[] = [];
    for (;;) {
      const name = this.#token();
      if (name.type !== 'quoted_identifier' && name.type !== 'unquoted_identifier') {
        throw this.#unexpected(name, "['quoted_identifier', 'unquoted_identifier']");
      }
      this.#next();
      this.#expect('colon');
      members.push([nameOf(name), this.#expression(0)]);
      if (this.#type === 'rbrace') break;
      if (this.#type === 'comma') this.#next();
    }
    this.#next();
    return { kind: 'record', members };
  }

  /** What is evaluated on each element of a projection. */
  #projected(power: number): Expression {
    const token = this.#token();
    if (binding(token.type) < PROJECTION_END) return CURRENT;
    if (token.type === 'lbracket' || token.type === 'filter') return this.#expression(power);
    if (token.type !== 'dot') throw this.#error(token, 'syntax error');
    this.#next();
    return this.#afterDot(power);
  }

  #afterDot(power: number): Expression {
    const token = this.#token();
    if (token.type === 'quoted_identifier' || token.type === 'unquoted_identifier' || token.type === 'star') {
      return this.#expression(power);
    }
    if (token.type !== 'lbracket' && token.type !== 'lbrace') {
      const allowed = pythonSource(['quoted_identifier', 'unquoted_identifier', 'lbracket', 'lbrace']);
      throw this.#error(token, `Expecting: ${allowed}, got: ${token.type}`);
    }
    this.#next();
    return token.type === 'lbracket' ? this.#list() : this.#record();
  }

  #expect(type: TokenType): void {
    if (this.#type !== type) throw this.#unexpected(this.#token(), type);
    this.#next();
  }

  #unexpected(token: Token, expected: string): JmespathError {
    return token.type === 'eof' ? this.#incomplete() : this.#error(token, `Expecting: ${expected}, got: ${token.type}`);
  }

  #incomplete(): JmespathError {
    const position = Array.from(this.#source).length;
    return new JmespathError(
      `Invalid jmespath expression: Incomplete expression:\n"${this.#source}"\n${' '.repeat(position + 1)}^`,
    );
  }

  #error(token: Token, reason: string): JmespathError {
    const where = `Parse error at column ${token.start}, token "${pythonText(token.value)}" (${token.type.toUpperCase()})`;
    return new JmespathError(
      `${reason}: ${where}, for expression:\n"${this.#source}"\n${' '.repeat(token.start + 1)}^`,
    );
  }
}

function nameOf(token: Token): string {
  return pythonText(token.value);
}

function numberOf(token: Token): number {
  return Number(token.value);
}
