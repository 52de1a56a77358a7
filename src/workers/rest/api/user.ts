/** Users: who may call, with which password, and in which roles. */
import * as z from 'zod';
import type { User } from '../../../messages/db-to-rest.user.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { isoTime } from '../flow-body.ts';
import { text } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { lookUp, type RestRoom } from '../room.ts';
import { done, jsonBody, route } from '../routing/routing.ts';
import { passwordCharsMin } from '../config.ts';
import { int32, protocolVersionRoute } from './protocol-version.ts';
import { change, expected, groupId, permissionType } from './rbac.ts';
import { dateTime } from './shapes.ts';

const tag = 'RBAC User';

const loginText = z.string().regex(/^[-._@a-zA-Z0-9]{3,255}$/, 'a login name has 3 to 255 letters, digits, "-", ".", "_" and "@"');
const fullName = z.string().regex(/^(?!\s*$)[-a-zA-Z0-9.@#' ]{1,255}$/, 'a full name has 1 to 255 letters, digits, spaces and ".@-#\'", and is not blank');
/** Passwords are judged by the configuration of the moment; here only what a body may carry. */
const passwordText = z.string().max(10_000);

const property = z.object({ key: z.string(), lastChangedTimestamp: dateTime, value: z.string() }).meta({ id: 'PropertyResponseType' });
const roleAssociation = z.object({ createTimestamp: dateTime, roleId: z.string() }).meta({ id: 'RoleAssociationResponseType' });

const userResponse = z
  .object({
    enabled: z.boolean(),
    fullName: z.string(),
    id: z.string(),
    loginName: z.string(),
    parentGroup: z.string().nullable(),
    passwordExpiry: dateTime.nullable(),
    properties: z.array(property).meta({ uniqueItems: true }),
    roleAssociations: z.array(roleAssociation),
    ssoAuth: z.boolean(),
    updateTimestamp: dateTime,
    version: int32,
  })
  .meta({ id: 'UserResponseType' });

const permissionSummary = z
  .object({ groupVisibility: z.string().nullable(), id: z.string(), permissionString: z.string(), permissionType, virtualNode: z.string().nullable() })
  .meta({ id: 'PermissionSummaryResponseType' });
const userSummary = z
  .object({ enabled: z.boolean(), lastUpdateTimestamp: dateTime, loginName: z.string(), permissions: z.array(permissionSummary) })
  .meta({ id: 'UserPermissionSummaryResponseType' });

const createUser = z
  .object({ enabled: z.boolean(), fullName, initialPassword: passwordText.nullish(), loginName: loginText, parentGroup: groupId, passwordExpiry: dateTime.nullish() })
  .meta({ id: 'CreateUserType' });
const updateUser = z.object({ enabled: z.boolean().nullish(), fullName: fullName.nullish(), passwordExpiry: dateTime.nullish() }).meta({ id: 'UpdateUserType' });
const selfPassword = z.object({ password: passwordText });
const otherPassword = z.object({ password: passwordText, username: z.string().max(300) }).meta({ id: 'ChangeOtherUserPasswordWrapperRequest' });

const userBody = (user: User): z.infer<typeof userResponse> => ({
  enabled: user.enabled,
  fullName: user.fullName,
  id: user.id,
  loginName: user.login,
  parentGroup: user.parentGroup,
  passwordExpiry: user.passwordExpiry === null ? null : isoTime(user.passwordExpiry),
  properties: [],
  roleAssociations: user.roles.map(({ id, since }) => ({ createTimestamp: isoTime(since), roleId: id })),
  ssoAuth: user.password === null,
  updateTimestamp: isoTime(user.updatedAt),
  version: user.version,
});

const unknown = (login: string): Refusal => refuse('REST_USER_UNKNOWN', `User ${login} not found`, { loginName: login });

const findUser = async ({ views }: RestRoom, login: string): Promise<User | Refusal> => (await lookUp(views.users, login.toLowerCase())) ?? unknown(login);

const pathLogin = text(z.string().max(300));

/** For commands: what is no login name is nobody's. */
const loginIn = (login: string): string | Refusal => (loginText.safeParse(login).success ? login.toLowerCase() : unknown(login));

const busy = refuse('REST_BUSY', 'Too many passwords are being set');

const judgePassword = ({ config }: RestRoom, password: string, name: string): Refusal | undefined => {
  const { lengthLimit } = config.get('corda.rbac').password;
  const reason =
    password.trim() === '' ? 'it is blank' : password.length < passwordCharsMin ? `it has fewer than ${passwordCharsMin} characters` : password.length > lengthLimit ? `it has more than ${lengthLimit} characters` : undefined;
  return reason === undefined ? undefined : refuse('REST_BODY_INVALID', `Invalid request body: ${name}: ${reason}`, { [name]: reason });
};

const setPassword = async (room: RestRoom, actor: string, user: User, password: string) => {
  const fault = judgePassword(room, password, 'password');
  if (fault !== undefined) return fault;
  const isSame = user.password !== null && (await room.passwords.fits(password, user.password));
  if (isSame === 'busy') return busy;
  if (isSame) return refuse('REST_BODY_INVALID', 'Invalid request body: password: it is the one before', { password: 'it is the one before' });
  const record = await room.passwords.hash(password);
  if (record === 'busy') return busy;
  const changed = await change(room, actor, { type: 'set-password', login: user.login, password: record, by: actor === user.login ? 'self' : 'other' });
  return isRefusal(changed) ? changed : done(userBody(expected(changed.user, 'user')));
};

/** PUT gives the role, DELETE takes it away. */
const association = (method: 'PUT' | 'DELETE') =>
  route({
    method,
    path: '/user/{loginname}/role/{roleid}',
    tag,
    summary: method === 'PUT' ? 'Gives a user a role' : 'Takes a role from a user',
    pathParameters: { loginname: pathLogin, roleid: text(z.string().max(100)) },
    reply: userResponse,
    handle: async ({ room, path, login }) => {
      const name = loginIn(path.loginname);
      if (typeof name !== 'string') return name;
      const changed = await change(room, login, { type: method === 'PUT' ? 'add-role' : 'remove-role', login: name, roleId: path.roleid });
      return isRefusal(changed) ? changed : done(userBody(expected(changed.user, 'user')));
    },
  });

export const userRoutes = [
  route({
    method: 'POST',
    path: '/user',
    tag,
    summary: 'Creates a user without roles; without a password it logs in with tokens alone',
    body: jsonBody('createUserType', createUser),
    reply: userResponse,
    statuses: [201],
    handle: async ({ room, body, login }) => {
      const { initialPassword, loginName, passwordExpiry } = body;
      const password = initialPassword ?? undefined;
      const fault = password === undefined ? undefined : judgePassword(room, password, 'initialPassword');
      if (fault !== undefined) return fault;
      const record = password === undefined ? null : await room.passwords.hash(password);
      if (record === 'busy') return busy;
      const changed = await change(room, login, {
        type: 'create-user',
        login: loginName.toLowerCase(),
        fullName: body.fullName,
        enabled: body.enabled,
        password: record,
        passwordExpiry: passwordExpiry === undefined || passwordExpiry === null ? null : Date.parse(passwordExpiry),
        parentGroup: body.parentGroup ?? null,
      });
      return isRefusal(changed) ? changed : done(userBody(expected(changed.user, 'user')), 201);
    },
  }),
  route({
    method: 'GET',
    path: '/user',
    tag,
    summary: 'Lists the users',
    ours: true,
    reply: z.array(userResponse),
    handle: async ({ room: { views } }) => {
      await views.users.refresh();
      const users = [...views.users.entries()].map(([, user]) => user).sort((one, other) => (one.login < other.login ? -1 : 1));
      return done(users.map(userBody));
    },
  }),
  route({
    method: 'POST',
    path: '/user/selfpassword',
    tag,
    summary: 'Changes the password of the caller, even one that has expired',
    body: jsonBody('password', selfPassword),
    reply: userResponse,
    handle: ({ room, body, user }) => setPassword(room, user.login, user, body.password),
  }),
  route({
    method: 'POST',
    path: '/user/otheruserpassword',
    tag,
    summary: 'Changes the password of a user; it lasts until the user is to change it',
    body: jsonBody('request', otherPassword),
    reply: userResponse,
    handle: async ({ room, body, login }) => {
      const user = await findUser(room, body.username);
      return isRefusal(user) ? user : setPassword(room, login, user, body.password);
    },
  }),
  route({
    method: 'GET',
    path: '/user/{loginname}',
    tag,
    summary: 'Reads a user',
    pathParameters: { loginname: pathLogin },
    reply: userResponse,
    handle: async ({ room, path }) => {
      const user = await findUser(room, path.loginname);
      return isRefusal(user) ? user : done(userBody(user));
    },
  }),
  route({
    method: 'GET',
    path: '/user',
    onlyInV1: true,
    tag,
    summary: 'Reads a user',
    queryParameters: { loginname: pathLogin },
    reply: userResponse,
    handle: async ({ room, query }) => {
      const user = await findUser(room, query.loginname);
      return isRefusal(user) ? user : done(userBody(user));
    },
  }),
  route({
    method: 'PUT',
    path: '/user/{loginname}',
    tag,
    summary: 'Enables or disables a user, renames it, or says when its password expires; what is left out stays',
    ours: true,
    pathParameters: { loginname: pathLogin },
    body: jsonBody('updateUserType', updateUser),
    reply: userResponse,
    handle: async ({ room, path, body, login }) => {
      const name = loginIn(path.loginname);
      if (typeof name !== 'string') return name;
      const changed = await change(room, login, {
        type: 'update-user',
        login: name,
        ...(typeof body.enabled === 'boolean' ? { enabled: body.enabled } : {}),
        ...(typeof body.fullName === 'string' ? { fullName: body.fullName } : {}),
        ...(typeof body.passwordExpiry === 'string' ? { passwordExpiry: Date.parse(body.passwordExpiry) } : {}),
      });
      return isRefusal(changed) ? changed : done(userBody(expected(changed.user, 'user')));
    },
  }),
  route({
    method: 'DELETE',
    path: '/user/{loginname}',
    tag,
    summary: 'Deletes a user',
    ours: true,
    pathParameters: { loginname: pathLogin },
    reply: userResponse,
    handle: async ({ room, path, login }) => {
      const name = loginIn(path.loginname);
      if (typeof name !== 'string') return name;
      const changed = await change(room, login, { type: 'delete-user', login: name });
      return isRefusal(changed) ? changed : done(userBody(expected(changed.user, 'user')));
    },
  }),
  route({
    method: 'GET',
    path: '/user/{loginname}/permissionsummary',
    tag,
    summary: 'Lists the permissions that a user has by its roles',
    pathParameters: { loginname: pathLogin },
    reply: userSummary,
    handle: async ({ room, path }) => {
      const user = await findUser(room, path.loginname);
      if (isRefusal(user)) return user;
      const permissions = await room.authority.permissionsOf(user);
      const roles = user.roles.map(({ id }) => room.views.roles.get(id)?.updatedAt ?? 0);
      return done({
        enabled: user.enabled,
        lastUpdateTimestamp: isoTime(Math.max(user.updatedAt, ...roles)),
        loginName: user.login,
        permissions: permissions.map(({ id, text: permissionString, type, virtualNode, groupVisibility }) => ({ groupVisibility, id, permissionString, permissionType: type, virtualNode })),
      });
    },
  }),
  association('PUT'),
  association('DELETE'),
  protocolVersionRoute('user', tag),
];
