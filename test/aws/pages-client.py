"""Every waiter and every paginator that boto3 has for what a running server answers, and the lists that have none.

Arguments: the endpoint, the operations that the server has as JSON (by service), and the command that tells a volume's NBD
address, in words. Credentials and region come from the environment. Prints one line for each fact; exits 1 at the first that
is not so.
"""

import json
import subprocess
import sys

import boto3
from botocore.exceptions import WaiterError

endpoint, operations, *connect = sys.argv[1:]
operations = json.loads(operations)
services = {name: boto3.client(name, endpoint_url=endpoint) for name in operations}
ec2, ebs, kms, iam, rbin, dlm = (services[name] for name in ("ec2", "ebs", "kms", "iam", "rbin", "dlm"))
methods = {name: {op: method for method, op in one.meta.method_to_api_mapping.items()} for name, one in services.items()}
fast = {"Delay": 0.1, "MaxAttempts": 600}
account = services["sts"].get_caller_identity()["Account"]
paged = set()


def fact(holds, text):
    print(("ok: " if holds else "NOT SO: ") + text, flush=True)
    if not holds:
        sys.exit(1)


def pages(service, operation, size, count, by=None, **kwargs):
    """The list in pages of `size` is the list as one: `count` things (at the least), each once. `by`: what of a thing stays."""
    paged.add(operation)
    if operation not in methods[service] or not services[service].can_paginate(methods[service][operation]):
        return
    by = by or (lambda one: one)
    paginator = services[service].get_paginator(methods[service][operation])
    [name] = [key.expression for key in paginator.result_keys][:1]
    whole = [by(one) for one in paginator.paginate(**kwargs).build_full_result()[name]]
    parts = [[by(one) for one in page[name]] for page in paginator.paginate(**kwargs, PaginationConfig={"PageSize": size})]
    found = [one for part in parts for one in part]
    unique = {json.dumps(one, default=str, sort_keys=True) for one in found}
    fact(found == whole and len(unique) == len(found) >= count, f"{operation}: {len(found)} in {len(parts)} pages")
    fact(len(parts) > 1 or len(found) <= size, f"{operation}: more than one page")
    if len(found) > size:
        # boto3 makes a token of its own that says where within a page it stopped.
        first = paginator.paginate(**kwargs, PaginationConfig={"PageSize": size, "MaxItems": 1}).build_full_result()
        rest = paginator.paginate(
            **kwargs, PaginationConfig={"PageSize": size, "StartingToken": first["NextToken"]}
        ).build_full_result()
        fact([by(one) for one in first[name] + rest[name]] == whole, f"{operation}: goes on where it was stopped")


def loop(service, operation, key, size, count, **kwargs):
    """As `pages`, by hand: boto3 has no paginator for it."""
    if operation not in methods[service]:
        return
    call, found, sizes, more = getattr(services[service], methods[service][operation]), [], [], {}
    while True:
        reply = call(**kwargs, **more, MaxResults=size)
        found += reply[key]
        sizes.append(len(reply[key]))
        if not reply.get("NextToken"):
            break
        more = {"NextToken": reply["NextToken"]}
    unique = {json.dumps(one, default=str, sort_keys=True) for one in found}
    fact(len(unique) == len(found) >= count and max(sizes) <= size, f"{operation}: {len(found)} in pages of {sizes}")


def volume(**kwargs):
    return ec2.create_volume(**{"AvailabilityZone": "us-east-1a", "Size": 1, **kwargs})["VolumeId"]


def tagged(kind, key):
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": [{"Key": key, "Value": "yes"}]}]}


# EC2's waiters.
volumes = [volume(**tagged("volume", "page")) for _ in range(7)]
ec2.get_waiter("volume_available").wait(VolumeIds=volumes, WaiterConfig=fast)
snapshots = [ec2.create_snapshot(VolumeId=one, **tagged("snapshot", "page"))["SnapshotId"] for one in volumes]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=snapshots, WaiterConfig=fast)
ec2.get_waiter("snapshot_completed").wait(OwnerIds=["self"], Filters=[{"Name": "tag:page", "Values": ["yes"]}],
                                          WaiterConfig=fast)
gone = volume()
ec2.delete_volume(VolumeId=gone)
ec2.get_waiter("volume_deleted").wait(VolumeIds=[gone], WaiterConfig=fast)
fact(True, "volume_available, snapshot_completed, volume_deleted")
key = kms.create_key()["KeyMetadata"]["KeyId"]
of_key = ec2.create_snapshot(VolumeId=volume(Encrypted=True, KmsKeyId=key))["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[of_key], WaiterConfig=fast)
kms.disable_key(KeyId=key)
doomed = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=of_key)["SnapshotId"]
try:
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[doomed], WaiterConfig=fast)
    failure = ""
except WaiterError as error:
    failure = str(error)
fact("terminal failure" in failure, "snapshot_completed ends when the snapshot is in error")

# EC2's lists.
pages("ec2", "DescribeVolumes", 5, 8, lambda one: one["VolumeId"])
pages("ec2", "DescribeSnapshots", 5, 9, lambda one: one["SnapshotId"], OwnerIds=["self"])
pages("ec2", "DescribeVolumeStatus", 5, 8, lambda one: one["VolumeId"])
pages("ec2", "DescribeTags", 5, 14)
snapshot = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": "status", "Values": ["completed"]}])["Snapshots"][0]["SnapshotId"]
for number in range(6):
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}
    ec2.register_image(Name=f"image-{number}", RootDeviceName="/dev/xvda", BlockDeviceMappings=[root])
pages("ec2", "DescribeImages", 5, 6, lambda one: one["ImageId"], Owners=["self"])
# There are no instances: those need QEMU, and an image that boots.
for operation in ["DescribeInstances", "DescribeInstanceStatus", "DescribeInstanceCreditSpecifications",
                  "DescribeNetworkInterfaces"]:
    pages("ec2", operation, 5, 0)
pages("ec2", "DescribeInstanceTypes", 5, 6, lambda one: one["InstanceType"])
pages("ec2", "DescribeInstanceTypeOfferings", 50, 100, LocationType="availability-zone")
pages("ec2", "DescribeVpcs", 5, 1, lambda one: one["VpcId"])
# What this server has not.
for thing in ["InternetGateways", "RouteTables", "PrincipalIdFormat", "LaunchTemplates", "LaunchTemplateVersions"]:
    pages("ec2", f"Describe{thing}", 5, 0)
pages("ec2", "DescribeSubnets", 5, 1, lambda one: one["SubnetId"])
pages("ec2", "DescribeSecurityGroups", 5, 1, lambda one: one["GroupId"])
pages("ec2", "DescribeSnapshotTierStatus", 5, 9, lambda one: one["SnapshotId"])
for one in volumes:
    ec2.modify_volume(VolumeId=one, Size=2)
pages("ec2", "DescribeVolumesModifications", 5, 7, lambda one: one["VolumeId"])
zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
ec2.enable_fast_snapshot_restores(AvailabilityZones=zones, SourceSnapshotIds=snapshots[:3])
pages("ec2", "DescribeFastSnapshotRestores", 5, 9, lambda one: [one["SnapshotId"], one["AvailabilityZone"]])
if "LockSnapshot" in methods["ec2"]:
    for one in snapshots:
        ec2.lock_snapshot(SnapshotId=one, LockMode="governance", LockDuration=1)
    loop("ec2", "DescribeLockedSnapshots", "Snapshots", 5, 7)

# A list that changes between its pages: what stays is in it once, and what is gone harms nothing.
first = ec2.describe_snapshots(OwnerIds=["self"], MaxResults=5)
shown = [one["SnapshotId"] for one in first["Snapshots"]]
later = ec2.create_snapshot(VolumeId=volumes[0])["SnapshotId"]
ec2.delete_snapshot(SnapshotId=doomed)
rest = ec2.describe_snapshots(OwnerIds=["self"], MaxResults=1000, NextToken=first["NextToken"])
shown += [one["SnapshotId"] for one in rest["Snapshots"] if one["SnapshotId"] not in (doomed, later)]
fact(sorted(one for one in shown if one != doomed) == sorted([*snapshots, of_key]), "a list that changes has each thing once")

# The recycle bin, and Data Lifecycle Manager, which has no pages.
tag = {"ResourceTagKey": "bin", "ResourceTagValue": "yes"}
period = {"RetentionPeriodValue": 1, "RetentionPeriodUnit": "DAYS"}
for kind in ("EBS_SNAPSHOT", "EBS_VOLUME"):
    # The oldest boto3 of these tests does not know that volumes have a bin.
    client = boto3.client("rbin", endpoint_url=endpoint, config=boto3.session.Config(parameter_validation=False))
    client.create_rule(ResourceType=kind, RetentionPeriod=period, ResourceTags=[tag])
for number in range(4):
    rbin.create_rule(ResourceType="EBS_SNAPSHOT", RetentionPeriod=period,
                     ResourceTags=[{"ResourceTagKey": f"k{number}", "ResourceTagValue": ""}])
pages("rbin", "ListRules", 2, 5, lambda one: one["Identifier"], ResourceType="EBS_SNAPSHOT")
binned = [volume(**tagged("volume", "bin")) for _ in range(6)]
made = [ec2.create_snapshot(VolumeId=one, **tagged("snapshot", "bin"))["SnapshotId"] for one in binned]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=made, WaiterConfig=fast)
for one in made:
    ec2.delete_snapshot(SnapshotId=one)
for one in binned:
    ec2.delete_volume(VolumeId=one)
pages("ec2", "ListSnapshotsInRecycleBin", 5, 6, lambda one: one["SnapshotId"])
loop("ec2", "ListVolumesInRecycleBin", "Volumes", 5, 6)
details = {"ResourceTypes": ["VOLUME"], "TargetTags": [{"Key": "no", "Value": "thing"}], "Schedules": [
    {"Name": "s", "CreateRule": {"Interval": 24, "IntervalUnit": "HOURS"}, "RetainRule": {"Count": 1}}]}
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "dlm.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
role = iam.create_role(RoleName="dlm", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
for number in range(3):
    dlm.create_lifecycle_policy(ExecutionRoleArn=role, Description=f"policy {number}",
                                State="DISABLED", PolicyDetails=details)
fact(len(dlm.get_lifecycle_policies()["Policies"]) == 3, "policies are in one list")

# EBS direct: 100 at the least in a page.
uri = subprocess.run([*connect, volumes[6]], check=True, capture_output=True, text=True).stdout.strip()
subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 1 0 125M", "-c", "flush", uri], check=True, capture_output=True)
written = ec2.create_snapshot(VolumeId=volumes[6])["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[written], WaiterConfig=fast)
loop("ebs", "ListSnapshotBlocks", "Blocks", 100, 250, SnapshotId=written)
loop("ebs", "ListChangedBlocks", "ChangedBlocks", 100, 250, FirstSnapshotId=snapshots[6], SecondSnapshotId=written)

# KMS.
one = kms.create_key(Tags=[{"TagKey": str(n), "TagValue": ""} for n in range(5)])["KeyMetadata"]["KeyId"]
arn = f"arn:aws:iam::{account}:root"
for number in range(5):
    kms.create_alias(AliasName=f"alias/page-{number}", TargetKeyId=one)
    kms.create_grant(KeyId=one, GranteePrincipal=arn, RetiringPrincipal=arn, Operations=["Decrypt"], Name=f"g{number}")
    kms.create_key()
    if "RotateKeyOnDemand" in methods["kms"]:
        kms.rotate_key_on_demand(KeyId=one)
pages("kms", "ListKeys", 2, 7)
pages("kms", "ListAliases", 2, 5)
pages("kms", "ListGrants", 2, 5, lambda grant: grant["GrantId"], KeyId=one)
pages("kms", "ListRetirableGrants", 2, 5, lambda grant: grant["GrantId"], RetiringPrincipal=arn)
pages("kms", "ListResourceTags", 2, 5, KeyId=one)
pages("kms", "ListKeyPolicies", 2, 1, KeyId=one)
pages("kms", "ListKeyRotations", 2, 5, KeyId=one)

# IAM.
document = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}})
trust = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": account},
                                                           "Action": "sts:AssumeRole"}})
tags = [{"Key": str(n), "Value": "x"} for n in range(5)]
policies = []
for number in range(3):
    iam.create_user(UserName=f"u{number}", Tags=tags)
    iam.create_role(RoleName=f"r{number}", AssumeRolePolicyDocument=trust, Tags=tags)
    policies.append(iam.create_policy(PolicyName=f"p{number}", PolicyDocument=document, Tags=tags)["Policy"]["Arn"])
iam.get_waiter("user_exists").wait(UserName="u2", WaiterConfig=fast)
iam.get_waiter("role_exists").wait(RoleName="r2", WaiterConfig=fast)
iam.get_waiter("policy_exists").wait(PolicyArn=policies[2], WaiterConfig=fast)
for number in range(3):
    iam.attach_user_policy(UserName="u0", PolicyArn=policies[number])
    iam.attach_role_policy(RoleName="r0", PolicyArn=policies[number])
    iam.put_user_policy(UserName="u0", PolicyName=f"i{number}", PolicyDocument=document)
    iam.put_role_policy(RoleName="r0", PolicyName=f"i{number}", PolicyDocument=document)
    iam.create_policy_version(PolicyArn=policies[0], PolicyDocument=document)
for _ in range(2):
    iam.create_access_key(UserName="u0")
user, role = {"UserName": "u0"}, {"RoleName": "r0"}
pages("iam", "ListUsers", 2, 3)
pages("iam", "ListRoles", 2, 3)
pages("iam", "ListPolicies", 2, 3, Scope="Local")
pages("iam", "ListPolicyVersions", 2, 4, PolicyArn=policies[0])
pages("iam", "ListPolicyTags", 2, 5, PolicyArn=policies[0])
pages("iam", "ListEntitiesForPolicy", 5, 0, PolicyArn=policies[0])
pages("iam", "ListAttachedUserPolicies", 2, 3, **user)
pages("iam", "ListAttachedRolePolicies", 2, 3, **role)
pages("iam", "ListUserPolicies", 2, 3, **user)
pages("iam", "ListRolePolicies", 2, 3, **role)
pages("iam", "ListUserTags", 2, 5, **user)
pages("iam", "ListRoleTags", 2, 5, **role)
pages("iam", "ListAccessKeys", 1, 2, **user)
pages("iam", "ListAccountAliases", 2, 0)
pages("iam", "ListGroupsForUser", 2, 0, **user)
pages("iam", "ListInstanceProfilesForRole", 2, 0, **role)
pages("iam", "SimulatePrincipalPolicy", 2, 5, lambda one: one["EvalActionName"],
      PolicySourceArn=f"arn:aws:iam::{account}:user/u0", ActionNames=[f"ec2:Describe{n}" for n in "ABCDE"])

expected = {op for name, all in operations.items() for op in all
            if op in methods[name] and services[name].can_paginate(methods[name][op])}
fact(expected <= paged, f"every paginator of what the server has was used (not: {sorted(expected - paged)})")
print("ok: all of it")
