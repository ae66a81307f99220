import type { AuditEntry } from '#api/audit.ts';
import { dlmFace } from '#api/dlm/face.ts';
import { ebsFace } from '#api/ebs/face.ts';
import { ec2Face } from '#api/ec2/face.ts';
import { iamFace } from '#api/iam/face.ts';
import { kmsFace } from '#api/kms/face.ts';
import { lightsailFace } from '#api/lightsail/face.ts';
import { rbinFace } from '#api/rbin/face.ts';
import { type ApiServer, createApiServer } from '#api/server.ts';
import { type ClientKey, type ClientReply, SigningClient } from '#api/signing-client.fake.ts';
import { stsFace } from '#api/sts/face.ts';
import { createAccount } from '#control/access.ts';
import { createUser } from '#control/identity/users.ts';
import { createUserKey } from '#control/identity/user-keys.ts';
import { putInlinePolicy, USER } from '#control/identity/identities.ts';
import { World } from '#control/world.fake.ts';
import type { AccountId } from '#domain/ids.ts';

export interface Member {
  readonly account: AccountId;
  readonly key: ClientKey;
  readonly client: SigningClient;
}

/** A whole server over a control plane in memory, with accounts, users and clients that sign. */
export class AccessScene implements AsyncDisposable {
  readonly world: World;
  #api: ApiServer;
  readonly audited: AuditEntry[] = [];
  readonly broken: unknown[] = [];
  port = 0;

  private constructor(world: World) {
    this.world = world;
    this.#api = this.#make();
  }

  #make(): ApiServer {
    return createApiServer({
      ports: this.world.ports,
      faces: [ec2Face, lightsailFace, ebsFace, stsFace, kmsFace, iamFace, rbinFace, dlmFace],
      audit: { record: (entry) => (this.audited.push(entry), null) },
      onBroken: (error) => this.broken.push(error),
    });
  }

  /** The server stops and another one begins, on another port, over the same metadata. */
  async restart(): Promise<void> {
    await this.#api.close(1000);
    await this.world.restartControl();
    this.#api = this.#make();
    this.port = (await this.#api.listen(0, '127.0.0.1')).port;
  }

  static async open(): Promise<AccessScene> {
    const scene = new AccessScene(await World.make());
    scene.port = (await scene.#api.listen(0, '127.0.0.1')).port;
    return scene;
  }

  client(key: ClientKey): SigningClient {
    return new SigningClient(this.port, key, () => this.world.clock.nowMs());
  }

  /** The root of a new account. */
  async root(): Promise<Member> {
    const key = await createAccount(this.world.ports, {});
    return { account: key.account, key, client: this.client(key) };
  }

  /** A user with that policy; null: without any. */
  async user(account: AccountId, name: string, statement: object | readonly object[] | null): Promise<Member> {
    const { ports } = this.world;
    const none = { path: '/', boundary: null, tags: [], madeBy: null };
    await createUser(ports, account, { ...none, name });
    if (statement !== null) {
      const document = JSON.stringify({ Version: '2012-10-17', Statement: statement });
      await putInlinePolicy(ports, USER, account, { owner: name, name: 'policy', document });
    }
    const made = await createUserKey(ports, account, { userName: name, madeBy: null });
    const key = { accessKeyId: made.id, secretAccessKey: made.secret };
    return { account, key, client: this.client(key) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#api.close(1000);
    await this.world[Symbol.asyncDispose]();
  }
}

/** The code of an error in whatever protocol; null: no error. */
export function codeOf(reply: ClientReply): string | null {
  if (reply.status < 400) return null;
  const xml = /<Code>([^<]+)<\/Code>/.exec(reply.text)?.[1];
  if (xml !== undefined) return xml;
  const header = reply.headers['x-amzn-errortype'];
  if (typeof header === 'string') return header;
  return /"__type":\s*"(?:[^"#]*#)?([^"]+)"/.exec(reply.text)?.[1] ?? `status ${reply.status}`;
}
