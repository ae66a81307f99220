"""Drives KMS of a running server with boto3: every operation once more, each refusal by its exception class, and pages.

Arguments: the endpoint, and the access key id, secret and id of a second account. The first account's credentials and the
region come from the environment. Prints one line for each fact; exits 1 at the first that is not so.
"""

import datetime
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, other_key, other_secret, other_account = sys.argv[1:5]
# What the client itself would refuse is sent as well: the server has to refuse it.
config = Config(parameter_validation=False)
kms = boto3.client("kms", endpoint_url=endpoint, config=config)
iam = boto3.client("iam", endpoint_url=endpoint)
other = boto3.client(
    "kms", endpoint_url=endpoint, aws_access_key_id=other_key, aws_secret_access_key=other_secret, config=config
)
account = boto3.client("sts", endpoint_url=endpoint).get_caller_identity()["Account"]


def fact(holds, text):
    print(("ok: " if holds else "NOT SO: ") + text, flush=True)
    if not holds:
        sys.exit(1)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
        found = "nothing"
    except ClientError as error:
        found = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        known = getattr(kms.exceptions, code, None)
        fact(400 <= status < 500 and error.response["Error"]["Message"] != "", f"{code} has a client's status and words")
        fact(known is None or isinstance(error, known) or "Client" in type(error).__name__ or call.__self__ is not kms,
             f"{code} is an exception class of the client")
    fact(found == code, f"{call.__name__} {sorted(kwargs)} is refused with {code} (found {found})")


def knows(operation, member=None):
    """Whether this boto3 is new enough; what it does not know is tested with raw requests."""
    model = kms.meta.service_model
    return operation in model.operation_names and (
        member is None or member in model.operation_model(operation).input_shape.members
    )


def new_key(**kwargs):
    return kms.create_key(**kwargs)["KeyMetadata"]


key = new_key(Description="one", Tags=[{"TagKey": "a", "TagValue": "1"}])
arn, key_id = key["Arn"], key["KeyId"]
fact(isinstance(key["CreationDate"], datetime.datetime), "CreationDate is a datetime")

# Names of keys.
kms.create_alias(AliasName="alias/boto", TargetKeyId=key_id)
alias_arn = f"arn:aws:kms:us-east-1:{account}:alias/boto"
for name in (key_id, arn, "alias/boto", alias_arn):
    fact(kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key_id, f"a key is found by {name.split('/')[0]}")
for name, code in {
    "nonsense": "NotFoundException",
    "alias/none": "NotFoundException",
    "arn:aws:kms:us-east-1:1:key/x": "InvalidArnException",
    f"arn:aws:kms:eu-west-1:{account}:key/{key_id}": "NotFoundException",
    f"arn:aws:kms:us-east-1:{other_account}:key/{key_id}": "AccessDeniedException",
}.items():
    refused(code, kms.describe_key, KeyId=name)
refused("NotFoundException", kms.disable_key, KeyId="alias/boto")

# Values that break a rule.
refused("ValidationException", kms.encrypt, KeyId=key_id, Plaintext=b"")
refused("ValidationException", kms.encrypt, KeyId=key_id, Plaintext=b"x" * 4097)
refused("ValidationException", kms.generate_data_key, KeyId=key_id, NumberOfBytes=1025)
refused("ValidationException", kms.generate_data_key, KeyId=key_id, KeySpec="AES_256", NumberOfBytes=1)
refused("ValidationException", kms.generate_data_key, KeyId=key_id, KeySpec="AES_1")
refused("ValidationException", kms.generate_random, NumberOfBytes=0)
refused("ValidationException", kms.generate_random)
refused("ValidationException", kms.encrypt, Plaintext=b"x")
refused("ValidationException", kms.schedule_key_deletion, KeyId=key_id, PendingWindowInDays=6)
if knows("EnableKeyRotation", "RotationPeriodInDays"):
    refused("ValidationException", kms.enable_key_rotation, KeyId=key_id, RotationPeriodInDays=89)
refused("ValidationException", kms.list_keys, Limit=1001)
refused("ValidationException", kms.put_key_policy, KeyId=key_id, PolicyName="other", Policy="{}")
refused("ValidationException", kms.create_key, KeyUsage="GENERATE_VERIFY_MAC")
refused("UnsupportedOperationException", kms.create_key, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
refused("UnsupportedOperationException", kms.create_key, Origin="AWS_CLOUDHSM", CustomKeyStoreId="cks-1")
refused("UnsupportedOperationException", kms.sign, KeyId=key_id, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
refused("InvalidAliasNameException", kms.create_alias, AliasName="boto", TargetKeyId=key_id)
refused("InvalidAliasNameException", kms.create_alias, AliasName="alias/aws/boto", TargetKeyId=key_id)
refused("AlreadyExistsException", kms.create_alias, AliasName="alias/boto", TargetKeyId=key_id)
refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key_id, PolicyName="default", Policy="{}")
refused("TagException", kms.tag_resource, KeyId=key_id, Tags=[{"TagKey": "aws:a", "TagValue": ""}])
refused("LimitExceededException", kms.tag_resource, KeyId=key_id,
        Tags=[{"TagKey": f"k{n}", "TagValue": ""} for n in range(50)])
refused("InvalidMarkerException", kms.list_keys, Marker="nonsense")
refused("InvalidGrantTokenException", kms.encrypt, KeyId=key_id, Plaintext=b"x", GrantTokens=["nonsense"])

# Messages.
context = {"tenant": "x", "\u00fc": "\u20ac"}
sealed = kms.encrypt(KeyId="alias/boto", Plaintext=b"hello", EncryptionContext=context)["CiphertextBlob"]
fact(kms.decrypt(CiphertextBlob=sealed, EncryptionContext=dict(reversed(context.items())))["Plaintext"] == b"hello",
     "the order of an encryption context does not matter")
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=sealed)
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"nonsense", EncryptionContext=context)
second = new_key()
refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=sealed, EncryptionContext=context, KeyId=second["KeyId"])
for call, some in (
    (kms.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
    (kms.decrypt, {"CiphertextBlob": sealed, "EncryptionContext": context}),
    (kms.re_encrypt, {"CiphertextBlob": sealed, "SourceEncryptionContext": context, "DestinationKeyId": key_id}),
    (kms.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
    (kms.generate_data_key_without_plaintext, {"KeyId": key_id, "KeySpec": "AES_256"}),
    (kms.create_grant, {"KeyId": key_id, "GranteePrincipal": f"arn:aws:iam::{account}:user/u", "Operations": ["Decrypt"]}),
):
    if knows("Encrypt", "DryRun"):
        refused("DryRunOperationException", call, DryRun=True, **some)
refused("AccessDeniedException", other.decrypt, CiphertextBlob=sealed, EncryptionContext=context)

# States.
kms.disable_key(KeyId=key_id)
for call, some in (
    (kms.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
    (kms.decrypt, {"CiphertextBlob": sealed, "EncryptionContext": context}),
    (kms.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
    (kms.create_grant, {"KeyId": key_id, "GranteePrincipal": f"arn:aws:iam::{account}:root", "Operations": ["Decrypt"]}),
    (kms.enable_key_rotation, {"KeyId": key_id}),
):
    refused("DisabledException", call, **some)
kms.enable_key(KeyId=key_id)
refused("KMSInvalidStateException", kms.cancel_key_deletion, KeyId=key_id)
doomed = new_key()["KeyId"]
date = kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)["DeletionDate"]
left = date - datetime.datetime.now(datetime.timezone.utc)
# The server counts from the latest time that it knows of, which may be a little ahead of the wall clock.
fact(abs(left - datetime.timedelta(days=7)) < datetime.timedelta(minutes=10), "the key goes in seven days")
for call, some in (
    (kms.encrypt, {"KeyId": doomed, "Plaintext": b"x"}),
    (kms.enable_key, {"KeyId": doomed}),
    (kms.disable_key, {"KeyId": doomed}),
    (kms.schedule_key_deletion, {"KeyId": doomed}),
    (kms.create_alias, {"AliasName": "alias/doomed", "TargetKeyId": doomed}),
    (kms.tag_resource, {"KeyId": doomed, "Tags": [{"TagKey": "a", "TagValue": ""}]}),
    (kms.update_key_description, {"KeyId": doomed, "Description": "x"}),
):
    refused("KMSInvalidStateException", call, **some)
kms.cancel_key_deletion(KeyId=doomed)
fact(kms.describe_key(KeyId=doomed)["KeyMetadata"]["KeyState"] == "Disabled", "a key that is kept is disabled")
external = new_key(Origin="EXTERNAL")
fact(external["KeyState"] == "PendingImport" and not external["Enabled"], "a key without material is PendingImport")
refused("KMSInvalidStateException", kms.encrypt, KeyId=external["KeyId"], Plaintext=b"x")
refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=external["KeyId"])
refused("UnsupportedOperationException", kms.get_parameters_for_import, KeyId=key_id,
        WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
refused("InvalidImportTokenException", kms.import_key_material, KeyId=external["KeyId"], ImportToken=b"x" * 100,
        EncryptedKeyMaterial=b"x" * 256, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
refused("UnsupportedOperationException", kms.delete_imported_key_material, KeyId=key_id)

# Another account: nothing, until the key's policy or a grant says so.
refused("AccessDeniedException", other.encrypt, KeyId=arn, Plaintext=b"x")
refused("AccessDeniedException", other.describe_key, KeyId=arn)
grant = kms.create_grant(KeyId=arn, GranteePrincipal=f"arn:aws:iam::{other_account}:root",
                         Operations=["Encrypt", "DescribeKey", "RetireGrant"])
theirs = other.encrypt(KeyId=arn, Plaintext=b"theirs", GrantTokens=[grant["GrantToken"]])["CiphertextBlob"]
fact(kms.decrypt(CiphertextBlob=theirs)["Plaintext"] == b"theirs", "a grant reaches into another account")
refused("AccessDeniedException", other.decrypt, CiphertextBlob=theirs)
refused("InvalidArnException", kms.create_grant, KeyId=key_id, GranteePrincipal=f"arn:aws:iam::{account}:user/nobody",
        Operations=["Decrypt"])
refused("AccessDeniedException", other.disable_key, KeyId=arn)
other.retire_grant(GrantToken=grant["GrantToken"])
refused("AccessDeniedException", other.encrypt, KeyId=arn, Plaintext=b"x")
refused("NotFoundException", kms.revoke_grant, KeyId=arn, GrantId=grant["GrantId"])
statement = {"Effect": "Allow", "Principal": {"AWS": other_account}, "Action": ["kms:Encrypt", "kms:DisableKey"], "Resource": "*"}
root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
document = json.dumps({"Version": "2012-10-17", "Statement": [root, statement]})
kms.put_key_policy(KeyId=key_id, Policy=document)
fact(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"] == document, "a policy is kept as it was given")
other.encrypt(KeyId=arn, Plaintext=b"x")
refused("AccessDeniedException", other.disable_key, KeyId=arn)

# A user of the account: by their own policy, or by a grant.
iam.create_user(UserName="kms-app")
pair = iam.create_access_key(UserName="kms-app")["AccessKey"]
app = boto3.client("kms", endpoint_url=endpoint, aws_access_key_id=pair["AccessKeyId"],
                   aws_secret_access_key=pair["SecretAccessKey"])
for call, some in (
    (app.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
    (app.create_key, {}),
    (app.list_keys, {}),
    (app.list_aliases, {}),
    (app.generate_random, {"NumberOfBytes": 1}),
    (app.list_retirable_grants, {"RetiringPrincipal": f"arn:aws:iam::{account}:root"}),
):
    refused("AccessDeniedException", call, **some)
granted = kms.create_grant(KeyId=key_id, GranteePrincipal=f"arn:aws:iam::{account}:user/kms-app", Operations=["Encrypt"],
                           Constraints={"EncryptionContextEquals": {"app": "1"}})
app.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"app": "1"})
refused("AccessDeniedException", app.encrypt, KeyId=key_id, Plaintext=b"x", EncryptionContext={"app": "2"})
iam.delete_access_key(UserName="kms-app", AccessKeyId=pair["AccessKeyId"])
iam.delete_user(UserName="kms-app")
iam.create_user(UserName="kms-app")
pair = iam.create_access_key(UserName="kms-app")["AccessKey"]
app = boto3.client("kms", endpoint_url=endpoint, aws_access_key_id=pair["AccessKeyId"],
                   aws_secret_access_key=pair["SecretAccessKey"])
refused("AccessDeniedException", app.encrypt, KeyId=key_id, Plaintext=b"x", EncryptionContext={"app": "1"})
kms.revoke_grant(KeyId=key_id, GrantId=granted["GrantId"])
granted = kms.create_grant(KeyId=key_id, GranteePrincipal=f"arn:aws:iam::{account}:user/kms-app", Operations=["Encrypt"])
app.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"app": "1"})
kms.revoke_grant(KeyId=key_id, GrantId=granted["GrantId"])
refused("AccessDeniedException", app.encrypt, KeyId=key_id, Plaintext=b"x", EncryptionContext={"app": "1"})
allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Encrypt", "Resource": arn}]}
iam.put_user_policy(UserName="kms-app", PolicyName="p", PolicyDocument=json.dumps(allow))
app.encrypt(KeyId=key_id, Plaintext=b"x")
refused("AccessDeniedException", app.disable_key, KeyId=key_id)

# Pages.
made = {new_key()["KeyId"] for _ in range(7)}
found = [one["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 3}) for one in page["Keys"]]
fact(made <= set(found) and len(found) == len(set(found)), "the pages of keys have every key once")
for n in range(7):
    kms.create_alias(AliasName=f"alias/page/{n}", TargetKeyId=second["KeyId"])
    kms.create_grant(KeyId=second["KeyId"], GranteePrincipal=f"arn:aws:iam::{account}:user/kms-app", Operations=["Decrypt"],
                     RetiringPrincipal=f"arn:aws:iam::{account}:user/kms-app")
pages = kms.get_paginator("list_aliases").paginate(KeyId=second["KeyId"], PaginationConfig={"PageSize": 2})
fact([one["AliasName"] for page in pages for one in page["Aliases"]] == [f"alias/page/{n}" for n in range(7)],
     "the pages of aliases have every alias once, in the order of creation")
pages = kms.get_paginator("list_grants").paginate(KeyId=second["KeyId"], PaginationConfig={"PageSize": 2})
fact(len([one for page in pages for one in page["Grants"]]) == 7, "the pages of grants have every grant once")
page = kms.list_retirable_grants(RetiringPrincipal=f"arn:aws:iam::{account}:user/kms-app", Limit=3)
fact(page["Truncated"] and len(page["Grants"]) == 3, "a page that is cut is truncated")
rest = kms.list_retirable_grants(RetiringPrincipal=f"arn:aws:iam::{account}:user/kms-app", Marker=page["NextMarker"])
fact(not rest["Truncated"] and len(rest["Grants"]) == 4, "and goes on after its marker")
pages = kms.get_paginator("list_key_policies").paginate(KeyId=key_id)
fact([name for page in pages for name in page["PolicyNames"]] == ["default"], "a key has one policy")
if knows("RotateKeyOnDemand"):
    for _ in range(3):
        kms.rotate_key_on_demand(KeyId=second["KeyId"])
    page = kms.list_key_rotations(KeyId=second["KeyId"], Limit=2)
    fact(page["Truncated"] and [one["RotationType"] for one in page["Rotations"]] == ["ON_DEMAND"] * 2, "rotations have pages")
page = kms.list_resource_tags(KeyId=key_id, Limit=1)
fact(page["Tags"] == [{"TagKey": "a", "TagValue": "1"}] and not page["Truncated"], "tags have pages")
print("done")
