import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/log.ts';

import { elementOf } from './s3-answer.ts';
import { CredentialsError, type Environment, type FoundCredentials } from './s3-found-credentials.ts';

/** The addresses are the machine's own: what does not answer at once is not there. */
const TIMEOUT_MS = 2_000;
const ATTEMPTS_MAX = 3;
const ANSWER_BYTES_MAX = 64 * 1024;

const CONTAINER_HOST = 'http://169.254.170.2';
/** Where, besides this machine and https, a container's credentials may come from: the agents of ECS and of EKS. */
const CONTAINER_HOSTS = new Set(['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]', 'localhost', '[::1]']);

/** From the endpoint that a container's environment names; null when it names none. */
export async function containerCredentials(
  environment: Environment,
  clock: Clock,
  signal: AbortSignal,
): Promise<FoundCredentials | null> {
  const relative = environment['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  const full = environment['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  const text = relative === undefined || relative === '' ? full : `${CONTAINER_HOST}${relative}`;
  if (text === undefined || text === '') return null;
  if (!URL.canParse(text))
    throw new CredentialsError('AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL', { retryable: false });
  const url = new URL(text);
  const isNear = CONTAINER_HOSTS.has(url.hostname) || /^127\.\d+\.\d+\.\d+$/.test(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isNear)) {
    throw new CredentialsError(`credentials are not asked for over plain http at ${url.host}`, { retryable: false });
  }
  const tokenPath = environment['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  const token =
    tokenPath === undefined || tokenPath === ''
      ? environment['AWS_CONTAINER_AUTHORIZATION_TOKEN']
      : await readToken(tokenPath);
  const headers: Record<string, string> = token === undefined || token === '' ? {} : { Authorization: token.trim() };
  const answer = await ask({ url, method: 'GET', headers, clock, signal });
  if (answer.status !== 200) throw refused(url, answer.status);
  return credentialsOf(answer.body, `the container's endpoint ${url.host}`);
}

/** Of the role of the EC2 instance that this is; null when it is none, or has no role. */
export async function instanceCredentials(
  environment: Environment,
  clock: Clock,
  signal: AbortSignal,
): Promise<FoundCredentials | null> {
  if (environment['AWS_EC2_METADATA_DISABLED']?.toLowerCase() === 'true') return null;
  const base = environment['AWS_EC2_METADATA_SERVICE_ENDPOINT'] || 'http://169.254.169.254';
  const url = new URL('/latest/api/token', base);
  let token: Reply;
  try {
    const headers = { 'X-aws-ec2-metadata-token-ttl-seconds': '300' };
    token = await ask({ url, method: 'PUT', headers, clock, signal, attempts: 1 });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CredentialsError) return null; // Nobody there: not an instance.
    throw error;
  }
  if (token.status !== 200) return null;
  const headers = { 'X-aws-ec2-metadata-token': token.body.trim() };
  const rolesUrl = new URL('/latest/meta-data/iam/security-credentials/', base);
  const roles = await ask({ url: rolesUrl, method: 'GET', headers, clock, signal });
  if (roles.status === 404) return null;
  if (roles.status !== 200) throw refused(rolesUrl, roles.status);
  const role = roles.body.trim().split('\n')[0] ?? '';
  const roleUrl = new URL(encodeURIComponent(role), rolesUrl);
  const answer = await ask({ url: roleUrl, method: 'GET', headers, clock, signal });
  if (answer.status !== 200) throw refused(roleUrl, answer.status);
  return credentialsOf(answer.body, `the instance's role ${role}`);
}

/**
 * Of the role that a pod of Kubernetes may take with the token in its file (EKS: IAM roles for service accounts); null when
 * the environment names none. Asked of STS in AWS_REGION.
 */
export async function webIdentityCredentials(
  environment: Environment,
  clock: Clock,
  signal: AbortSignal,
): Promise<FoundCredentials | null> {
  const tokenPath = environment['AWS_WEB_IDENTITY_TOKEN_FILE'];
  const role = environment['AWS_ROLE_ARN'];
  if (tokenPath === undefined || tokenPath === '' || role === undefined || role === '') return null;
  const token = await readToken(tokenPath);
  const region = environment['AWS_REGION'] || 'us-east-1';
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const url = new URL(environment['AWS_ENDPOINT_URL_STS'] || `https://sts.${region}.${domain}/`);
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: environment['AWS_ROLE_SESSION_NAME'] || 'varve',
    WebIdentityToken: token,
  });
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const body = String(form);
  const answer = await ask({ url, method: 'POST', headers, body, clock, signal });
  if (answer.status !== 200) {
    const why = elementOf(answer.body, 'Message') ?? `status ${answer.status}`;
    throw new CredentialsError(`take the role ${role} at ${url.host}: ${why}`, {
      retryable: answer.status >= 500 || answer.status === 429,
    });
  }
  const fields = {
    AccessKeyId: elementOf(answer.body, 'AccessKeyId'),
    SecretAccessKey: elementOf(answer.body, 'SecretAccessKey'),
    Token: elementOf(answer.body, 'SessionToken'),
    Expiration: elementOf(answer.body, 'Expiration'),
  };
  return credentialsOf(JSON.stringify(fields), `the role ${role}`);
}

async function readToken(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new CredentialsError(`read ${path}`, { cause: error, retryable: true });
  }
}

/** Of a JSON object as these endpoints and programs answer it. `tokenName`: what it calls the session token. */
export function credentialsOf(text: string, from: string, tokenName = 'Token'): FoundCredentials {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // What the parser says of it quotes it, and it may hold a secret.
    throw new CredentialsError(`${from} answers no JSON`, { retryable: true });
  }
  const field = (name: string): string => {
    const found =
      typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : '';
    return typeof found === 'string' ? found : '';
  };
  const [accessKeyId, secretAccessKey, sessionToken] = [
    field('AccessKeyId'),
    field('SecretAccessKey'),
    field(tokenName),
  ];
  if (accessKeyId === '' || secretAccessKey === '') {
    throw new CredentialsError(`${from} answers no credentials (${field('Code') || 'no reason given'})`, {
      retryable: true,
    });
  }
  const expiresMs = Date.parse(field('Expiration'));
  return {
    accessKeyId,
    secretAccessKey,
    sessionToken: sessionToken === '' ? undefined : sessionToken,
    expiresMs: Number.isNaN(expiresMs) ? null : expiresMs,
    from,
  };
}

function refused(url: URL, status: number): CredentialsError {
  return new CredentialsError(`${url.host} answers ${status} when asked for credentials`, {
    retryable: status >= 500 || status === 429,
  });
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

interface Question {
  readonly url: URL;
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly body?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly attempts?: number;
}

/** Asks until there is an answer that is not the server's own trouble, a few times. */
async function ask(question: Question): Promise<Reply> {
  const attempts = question.attempts ?? ATTEMPTS_MAX;
  for (let attempt = 1; ; attempt += 1) {
    const isLast = attempt === attempts;
    try {
      const reply = await askOnce(question);
      if (reply.status < 500 || isLast) return reply;
    } catch (error) {
      question.signal.throwIfAborted();
      const { url } = question;
      if (isLast)
        throw new CredentialsError(`ask ${url.host} for credentials: ${describeError(error)}`, {
          cause: error,
          retryable: true,
        });
    }
    await question.clock.sleep(100 * attempt, question.signal);
  }
}

async function askOnce({ url, method, headers, body: sent, clock, signal }: Question): Promise<Reply> {
  const over = new AbortController();
  const ended = new AbortController();
  const onAbort = (): void => over.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  void clock.sleep(TIMEOUT_MS, ended.signal).then(
    () => over.abort(new Error(`no answer within ${TIMEOUT_MS} ms`)),
    () => {},
  );
  try {
    return await new Promise((resolve, reject) => {
      over.signal.addEventListener('abort', () => outgoing.destroy(over.signal.reason as Error), { once: true });
      const outgoing = (url.protocol === 'https:' ? httpsRequest : httpRequest)(
        url,
        { method, headers, agent: false },
        (incoming) => {
          let body = '';
          incoming.setEncoding('utf8');
          incoming.on('data', (piece: string) => {
            body += piece;
            if (body.length > ANSWER_BYTES_MAX) outgoing.destroy(new Error('the answer is too long'));
          });
          incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body }));
          incoming.on('error', reject);
        },
      );
      outgoing.on('error', reject);
      outgoing.end(sent);
    });
  } finally {
    ended.abort();
    signal.removeEventListener('abort', onAbort);
  }
}
