import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpRequestParts } from './http.ts';
import { routeRequest, serviceOf } from './route.ts';

function request(parts: Partial<Omit<HttpRequestParts, 'body'>> & { readonly form?: string }): HttpRequestParts {
  const { form, ...rest } = parts;
  const headers = rest.headers ?? [];
  return {
    method: 'POST',
    path: '/',
    query: '',
    ...rest,
    headers:
      form === undefined ? headers : [...headers, ['content-type', 'application/x-www-form-urlencoded; charset=utf-8']],
    body: new TextEncoder().encode(form ?? ''),
  };
}

const target = (value: string): HttpRequestParts => request({ headers: [['X-Amz-Target', value]] });

test('the target of a JSON request names service and operation', () => {
  assert.deepEqual(routeRequest(target('Lightsail_20161128.GetDisks'), 'lightsail'), {
    kind: 'modelled',
    service: 'lightsail',
    operation: 'GetDisks',
  });
  assert.deepEqual(routeRequest(target('Lightsail_20161128.GetDisks'), null).kind, 'modelled');
  assert.deepEqual(routeRequest(target('Lightsail_20161128.GetDisks'), 'ec2'), {
    kind: 'modelled',
    service: 'lightsail',
    operation: 'GetDisks',
  });
});

test('a form is routed by the scope, and unsigned by its API version', () => {
  const describe = request({ form: 'Action=DescribeVolumes&Version=2016-11-15' });
  assert.deepEqual(routeRequest(describe, 'ec2'), { kind: 'modelled', service: 'ec2', operation: 'DescribeVolumes' });
  assert.deepEqual(routeRequest(describe, null), { kind: 'modelled', service: 'ec2', operation: 'DescribeVolumes' });
  const identity = request({ form: 'Version=2011-06-15&Action=GetCallerIdentity' });
  assert.deepEqual(routeRequest(identity, null), { kind: 'modelled', service: 'sts', operation: 'GetCallerIdentity' });
  assert.equal(serviceOf(identity, null), null, 'the head alone does not say');
  const get = request({ method: 'GET', query: 'Action=GetCallerIdentity&Version=2011-06-15' });
  assert.equal(serviceOf(get, null), 'sts');
});

test('a path is routed by method and template', () => {
  const block = { method: 'GET', path: '/snapshots/snap-1/blocks/7', query: 'blockToken=x' };
  assert.deepEqual(routeRequest(request(block), 'ebs'), {
    kind: 'modelled',
    service: 'ebs',
    operation: 'GetSnapshotBlock',
  });
  assert.deepEqual(routeRequest(request(block), null).kind, 'modelled');
  assert.deepEqual(routeRequest(request({ ...block, method: 'PUT' }), 'ebs'), {
    kind: 'modelled',
    service: 'ebs',
    operation: 'PutSnapshotBlock',
  });
  assert.deepEqual(routeRequest(request({ method: 'POST', path: '/snapshots/completion/snap-1' }), 'ebs'), {
    kind: 'modelled',
    service: 'ebs',
    operation: 'CompleteSnapshot',
  });
  assert.deepEqual(routeRequest(request({ ...block, method: 'DELETE' }), 'ebs').kind, 'unknown-operation');
  assert.deepEqual(routeRequest(request({ ...block, path: '/snapshots//blocks/7' }), 'ebs').kind, 'unknown-operation');
});

test('older clients of DLM have a slash at the end of their paths', () => {
  for (const path of ['/policies/policy-1', '/policies/policy-1/']) {
    const route = { kind: 'modelled', service: 'dlm', operation: 'GetLifecyclePolicy' };
    assert.deepEqual(routeRequest(request({ method: 'GET', path, query: '' }), 'dlm'), route);
  }
  assert.equal(routeRequest(request({ method: 'GET', path: '/policies/policy-1//' }), 'dlm').kind, 'unknown-operation');
});

test('operations that AWS has and the model has not are named', () => {
  assert.deepEqual(routeRequest(request({ form: 'Action=CreateTransitGateway' }), 'ec2'), {
    kind: 'named',
    service: 'ec2',
    operation: 'CreateTransitGateway',
  });
});

test('names of Object.prototype are operations of nobody', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    assert.equal(routeRequest(request({ form: `Action=${name}` }), 'ec2').kind, 'unknown-operation', name);
    assert.equal(routeRequest(target(`Lightsail_20161128.${name}`), 'lightsail').kind, 'unknown-operation', name);
    assert.equal(routeRequest(target(`${name}.GetDisks`), null).kind, 'unknown-service', name);
    assert.equal(routeRequest(request({}), name).kind, 'unknown-service', name);
  }
});

test('what cannot be read has no operation and harms nobody', () => {
  assert.deepEqual(routeRequest(request({ form: 'Action=%zz' }), 'ec2'), {
    kind: 'unknown-operation',
    service: 'ec2',
    operation: null,
  });
  assert.equal(routeRequest(request({}), null).kind, 'unknown-service');
  assert.equal(routeRequest(request({ method: 'GET', path: '/snapshots/%zz/blocks/1' }), null).kind, 'modelled');
});

test('a form in which something is wrong still names its operation, which says what', () => {
  const many = `Action=DescribeVolumes&${'VolumeId.1=x&'.repeat(10_000)}`;
  for (const form of ['Action=DescribeVolumes&DryRun=%zz', 'DryRun=%zz&Action=DescribeVolumes', many]) {
    const route = routeRequest(request({ form }), 'ec2');
    assert.deepEqual(route, { kind: 'modelled', service: 'ec2', operation: 'DescribeVolumes' }, form.slice(0, 80));
  }
  const body = Buffer.from('Action=DescribeVolumes&DryRun=\xff', 'latin1');
  const garbled = { ...request({ form: 'Action=DescribeVolumes' }), body };
  assert.equal(routeRequest(garbled, 'ec2').kind, 'modelled');
});
