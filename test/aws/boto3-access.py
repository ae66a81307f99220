"""Users, roles and policies as programs on boto3 use them: exceptions by name, waiters, paginators, resources, sessions."""

import json
import sys

import boto3
from botocore.exceptions import ClientError

endpoint = sys.argv[1]


def step(name):
    print(f"ok: {name}", flush=True)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions, resource="*", **more):
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def code_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


iam = boto3.client("iam", endpoint_url=endpoint)
sts = boto3.client("sts", endpoint_url=endpoint)
account = sts.get_caller_identity()["Account"]

user = iam.create_user(UserName="dana", Tags=[{"Key": "team", "Value": "red"}])["User"]
iam.get_waiter("user_exists").wait(UserName="dana", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
assert user["CreateDate"].tzinfo is not None
try:
    iam.create_user(UserName="dana")
    raise AssertionError("a second user of that name")
except iam.exceptions.EntityAlreadyExistsException:
    pass
try:
    iam.get_user(UserName="nobody")
    raise AssertionError("a user that is not there")
except iam.exceptions.NoSuchEntityException as error:
    assert "nobody" in str(error)
try:
    iam.put_user_policy(UserName="dana", PolicyName="p", PolicyDocument='{"Statement": []}')
    raise AssertionError("a policy without statements")
except iam.exceptions.MalformedPolicyDocumentException:
    pass
step("exceptions have their classes, waiters end")

made = iam.create_policy(PolicyName="red-only", PolicyDocument=policy(
    allow(["ec2:CreateVolume", "ec2:CreateTags", "ec2:Describe*"]),
    allow("ec2:DeleteVolume", Condition={"StringEquals": {"ec2:ResourceTag/team": "${aws:PrincipalTag/team}"}}),
))["Policy"]
iam.get_waiter("policy_exists").wait(PolicyArn=made["Arn"], WaiterConfig={"Delay": 1, "MaxAttempts": 2})
iam.attach_user_policy(UserName="dana", PolicyArn=made["Arn"])
key = iam.create_access_key(UserName="dana")["AccessKey"]
dana = boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
ec2 = dana.client("ec2", endpoint_url=endpoint)


def volume(team):
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "team", "Value": team}]}]
    created = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)
    ec2.get_waiter("volume_available").wait(VolumeIds=[created["VolumeId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return created["VolumeId"]


red, blue = volume("red"), volume("blue")
assert code_of(ec2.delete_volume, VolumeId=blue) == "UnauthorizedOperation"
assert code_of(ec2.delete_volume, VolumeId=red, DryRun=True) == "DryRunOperation"
assert code_of(ec2.delete_volume, VolumeId=blue, DryRun=True) == "UnauthorizedOperation"
ec2.delete_volume(VolumeId=red)
step("a policy with tags and variables decides")

iam.create_policy_version(PolicyArn=made["Arn"], PolicyDocument=policy(allow("ec2:Describe*")), SetAsDefault=True)
assert code_of(ec2.create_volume, AvailabilityZone="us-east-1a", Size=1) == "UnauthorizedOperation"
versions = iam.get_paginator("list_policy_versions").paginate(PolicyArn=made["Arn"], PaginationConfig={"PageSize": 1})
assert [version["VersionId"] for page in versions for version in page["Versions"]] == ["v2", "v1"]
document = iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v2")["PolicyVersion"]["Document"]
assert document["Statement"][0]["Action"] == "ec2:Describe*", document
step("versions, pages and documents")

trust = policy({"Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "sts:AssumeRole"})
role = iam.create_role(RoleName="nightly", AssumeRolePolicyDocument=trust, MaxSessionDuration=7200)["Role"]
iam.get_waiter("role_exists").wait(RoleName="nightly", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
iam.put_role_policy(RoleName="nightly", PolicyName="p", PolicyDocument=policy(allow(["ec2:*", "ebs:*"])))
own = dana.client("sts", endpoint_url=endpoint)
credentials = own.assume_role(RoleArn=role["Arn"], RoleSessionName="tonight", DurationSeconds=7200)["Credentials"]
session = boto3.Session(
    aws_access_key_id=credentials["AccessKeyId"],
    aws_secret_access_key=credentials["SecretAccessKey"],
    aws_session_token=credentials["SessionToken"],
)
identity = session.client("sts", endpoint_url=endpoint).get_caller_identity()
assert identity["Arn"] == f"arn:aws:sts::{account}:assumed-role/nightly/tonight", identity
as_role = session.client("ec2", endpoint_url=endpoint)
snapshot = as_role.create_snapshot(VolumeId=blue)["SnapshotId"]
as_role.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
blocks = session.client("ebs", endpoint_url=endpoint).list_snapshot_blocks(SnapshotId=snapshot)
assert blocks["VolumeSize"] == 1
assert code_of(session.client("iam", endpoint_url=endpoint).list_users) == "AccessDenied"
stale = boto3.Session(
    aws_access_key_id=credentials["AccessKeyId"],
    aws_secret_access_key=credentials["SecretAccessKey"],
    aws_session_token="x" * 400,
)
assert code_of(stale.client("sts", endpoint_url=endpoint).get_caller_identity) == "InvalidClientTokenId"
presigned = session.client("sts", endpoint_url=endpoint).generate_presigned_url("get_caller_identity", HttpMethod="GET")
step("a role is assumed and works, in EC2 and EBS direct")

from urllib.request import urlopen  # noqa: E402

with urlopen(presigned) as reply:
    assert b"assumed-role/nightly/tonight" in reply.read()
step("a presigned request carries its session token")

resource = boto3.resource("iam", endpoint_url=endpoint)
assert [each.name for each in resource.users.all()] == ["dana"]
assert resource.Role("nightly").arn == role["Arn"]
assert list(resource.User("dana").attached_policies.all())[0].arn == made["Arn"]
assert resource.AccountSummary().summary_map["Users"] == 1
step("resources")

iam.detach_user_policy(UserName="dana", PolicyArn=made["Arn"])
iam.delete_access_key(UserName="dana", AccessKeyId=key["AccessKeyId"])
assert code_of(own.get_caller_identity) == "InvalidClientTokenId"
iam.delete_user(UserName="dana")
iam.delete_role_policy(RoleName="nightly", PolicyName="p")
iam.delete_role(RoleName="nightly")
assert code_of(as_role.describe_volumes) == "AuthFailure"
step("what is deleted is over at once")
print("ok: all of it")
