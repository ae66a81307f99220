"""Drives encrypted volumes and snapshots of a running server with boto3, and looks for what was written in the server's files.

Arguments: the endpoint, the data directory, and the command that tells a volume's NBD address, in words. Credentials and
region come from the environment. Prints one line for each fact; exits 1 at the first that is not so.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.exceptions import ClientError

endpoint, data, *connect = sys.argv[1:]
ec2, abroad = (boto3.client("ec2", endpoint_url=endpoint, region_name=region) for region in ("us-east-1", "eu-west-1"))
kms, iam = boto3.client("kms", endpoint_url=endpoint), boto3.client("iam", endpoint_url=endpoint)
fast = {"Delay": 0.1, "MaxAttempts": 600}


def fact(holds, text):
    print(("ok: " if holds else "NOT SO: ") + text, flush=True)
    if not holds:
        sys.exit(1)


def code_of(call, **kwargs):
    try:
        call(**kwargs)
        return None, 200
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def write(volume, text):
    """Writes bytes that do not compress, so that whoever stored them in the clear would have them word for word."""
    uri = subprocess.run([*connect, volume], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        command = f"write -s {file.name} 1M {len(text)}"
        subprocess.run(["qemu-io", "-f", "raw", "-c", command, "-c", "flush", uri], check=True, capture_output=True)


def places(marker):
    """The files under the data directory that have the marker, by their first directory."""
    found = set()
    for directory, _, names in os.walk(data):
        for name in names:
            path = os.path.join(directory, name)
            try:
                with open(path, "rb") as file:
                    if marker in file.read():
                        found.add(os.path.relpath(path, data).split(os.sep)[0])
            except OSError:
                pass  # A socket, or gone by now.
    return found


def volume_of(client=ec2, **kwargs):
    return client.create_volume(**{"AvailabilityZone": "us-east-1a", **kwargs})


def snapshot_of(volume):
    made = ec2.create_snapshot(VolumeId=volume)
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[made["SnapshotId"]], WaiterConfig=fast)
    return made


def shown(snapshot, client=ec2):
    return client.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]


key, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
kms.create_alias(AliasName="alias/volumes", TargetKeyId=key["KeyId"])

# C10, C31, C32: an encrypted volume has encrypted snapshots.
made = volume_of(Size=1, Encrypted=True, KmsKeyId="alias/volumes")
volume = made["VolumeId"]
fact(made["Encrypted"] is True and made["KmsKeyId"] == key["Arn"], "the alias of a key is answered as the key's ARN")
secret, plain_text = os.urandom(65536), os.urandom(65536)
write(volume, secret)
reply = snapshot_of(volume)
first = reply["SnapshotId"]
fact(reply["Encrypted"] is True and reply["KmsKeyId"] == key["Arn"], "a snapshot of it is encrypted, with the same key")
fact("DataEncryptionKeyId" not in reply and "StateMessage" not in reply, "its data key's id is not told when it is made")
plain = volume_of(Size=1)
fact(plain["Encrypted"] is False and "KmsKeyId" not in plain, "a volume without a key is not encrypted")
write(plain["VolumeId"], plain_text)
of_plain = snapshot_of(plain["VolumeId"])["SnapshotId"]
fact(shown(of_plain)["Encrypted"] is False and "DataEncryptionKeyId" not in shown(of_plain), "nor is its snapshot")

# C11, C33: volumes of it are encrypted, and all of one lineage have one data key.
lineage = shown(first)["DataEncryptionKeyId"]
for asked in ({}, {"Encrypted": False}):
    child = volume_of(SnapshotId=first, **asked)
    fact(child["Encrypted"] is True and child["KmsKeyId"] == key["Arn"], f"a volume of it is encrypted, asked {asked}")
write(child["VolumeId"], secret[::-1])
of_child = snapshot_of(child["VolumeId"])["SnapshotId"]
fact(shown(of_child)["DataEncryptionKeyId"] == lineage, "volume, snapshot, volume, snapshot: one data key")
fact(shown(snapshot_of(volume)["SnapshotId"])["DataEncryptionKeyId"] == lineage, "another snapshot of the volume: the same")
stranger = volume_of(Size=1, Encrypted=True, KmsKeyId=key["Arn"])["VolumeId"]
fact(shown(snapshot_of(stranger)["SnapshotId"])["DataEncryptionKeyId"] != lineage, "another volume under that key: another")

# C12, C34: copies are made in the background, and none of them is in the clear.
copy_of = {"SourceRegion": "us-east-1", "SourceSnapshotId": first}
kept = ec2.copy_snapshot(**copy_of, Encrypted=False)["SnapshotId"]
moved = ec2.copy_snapshot(**copy_of, Encrypted=True, KmsKeyId=other["KeyId"])["SnapshotId"]
away = abroad.copy_snapshot(**copy_of)["SnapshotId"]
service = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
for client, one, arn in ((ec2, kept, service["Arn"]), (ec2, moved, other["Arn"]), (abroad, away, "arn:aws:kms:eu-west-1:")):
    client.get_waiter("snapshot_completed").wait(SnapshotIds=[one], WaiterConfig=fast)
    copy = shown(one, client)
    fact(copy["Encrypted"] is True and copy["KmsKeyId"].startswith(arn), f"a copy is encrypted, under {copy['KmsKeyId']}")
fact(lineage != shown(kept)["DataEncryptionKeyId"] != shown(moved)["DataEncryptionKeyId"], "each with a data key of its own")
again = ec2.copy_snapshot(**copy_of, Encrypted=True, KmsKeyId=key["KeyId"])["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[again], WaiterConfig=fast)
fact(shown(again)["DataEncryptionKeyId"] == lineage, "a copy under the key of its source is of its lineage")
ec2.modify_snapshot_tier(SnapshotId=kept, StorageTier="archive")
while shown(kept)["StorageTier"] != "archive":
    time.sleep(0.1)
fact(places(plain_text[1000:1100]) == {"volumes"}, "what is not encrypted is in the files of its volume as it was written")
fact(places(secret[1000:1100]) == set() == places(secret[::-1][1000:1100]), "what is encrypted is in none")
changed = boto3.client("ebs", endpoint_url=endpoint).list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=of_child)
fact([block["BlockIndex"] for block in changed["ChangedBlocks"]] == [2], "and is compared all the same")

# C22: what cannot be copied says why, where snapshots are described and nowhere else.
kms.disable_key(KeyId=other["KeyId"])
doomed = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=moved)
fact("StateMessage" not in doomed, "a copy that will fail is answered as any")
while shown(doomed["SnapshotId"])["State"] == "pending":
    time.sleep(0.1)
failed = shown(doomed["SnapshotId"])
fact(failed["State"] == "error" and failed["StateMessage"] == "Given key ID is not accessible", "it fails, and says why")
fact("StateMessage" not in shown(first), "what did not fail has nothing to say")
fact([one["SnapshotId"] for one in ec2.describe_snapshots(Filters=[{"Name": "status", "Values": ["error"]}])["Snapshots"]]
     == [doomed["SnapshotId"]], "it is found by its state")

# C13, C14, C22: a user who may make snapshots, and not use keys.
statement = {"Effect": "Allow", "Action": ["ec2:CopySnapshot", "ec2:Describe*"], "Resource": "*"}
iam.create_user(UserName="copier")
iam.put_user_policy(UserName="copier", PolicyName="p",
                    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
pair = iam.create_access_key(UserName="copier")["AccessKey"]
copier = boto3.client("ec2", endpoint_url=endpoint, aws_access_key_id=pair["AccessKeyId"],
                      aws_secret_access_key=pair["SecretAccessKey"])
before = len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"])
fact(code_of(copier.create_snapshot, VolumeId=volume, DryRun=True) == ("UnauthorizedOperation", 403), "a dry run decides")
fact(code_of(copier.create_snapshot, VolumeId=volume) == ("UnauthorizedOperation", 403), "as the call itself does")
fact(code_of(ec2.create_snapshot, VolumeId=volume, DryRun=True) == ("DryRunOperation", 412), "with leave it says so")
fact(len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == before, "none of them made a snapshot")
made = copier.copy_snapshot(**copy_of, Encrypted=True, KmsKeyId=key["KeyId"])["SnapshotId"]
while shown(made)["State"] == "pending":
    time.sleep(0.1)
fact(shown(made)["State"] == "error" and "StateMessage" in shown(made), "a copy without leave for its key fails, and says so")

# C26: the size is that of the moment.
ec2.modify_volume(VolumeId=volume, Size=2)
fact(shown(first)["VolumeSize"] == 1, "a snapshot keeps the size that its volume had")
fact(snapshot_of(volume)["VolumeSize"] == 2, "the next one has the new size")

# C20, C21, D7: tags, ids and types are those of the newest model; what is another's type is refused by the service.
types = ec2.meta.service_model.shape_for("ResourceType").enum
refused = {code_of(ec2.create_snapshot, VolumeId=volume, TagSpecifications=[
    {"ResourceType": one, "Tags": [{"Key": "a", "Value": "b"}]}])[0] for one in types if one != "snapshot"}
fact(len(types) >= 80 and refused == {"InvalidParameterValue"}, f"{len(types)} types of resources are known, and one is right")
print("ok: all of it")
