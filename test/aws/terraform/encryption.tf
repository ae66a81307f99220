# Encryption: a key of one's own as the default of the account, and a volume that is encrypted because of it.

resource "aws_kms_key" "own" {
  description             = var.changed ? "ours" : "our key"
  deletion_window_in_days = 7
}

resource "aws_ebs_default_kms_key" "own" {
  key_arn = aws_kms_key.own.arn
}

resource "aws_ebs_encryption_by_default" "on" {
  enabled    = true
  depends_on = [aws_ebs_default_kms_key.own]
}

resource "aws_ebs_volume" "secret" {
  availability_zone = data.aws_availability_zones.all.names[0]
  size              = 1
  depends_on        = [aws_ebs_encryption_by_default.on]
}
