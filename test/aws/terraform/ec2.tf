# Instances as EC2 has them, of an image of the server's. What the second apply changes is changed in place.

data "aws_ami" "tiny" {
  owners      = ["amazon"]
  most_recent = true
  filter {
    name   = "name"
    values = ["tiny"]
  }
}

resource "aws_key_pair" "ops" {
  key_name   = "ops-ec2"
  public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops"
  tags       = { round = var.changed ? "2" : "1" }
}

data "aws_vpc" "default" {
  default = true
}

data "aws_security_group" "default" {
  vpc_id = data.aws_vpc.default.id
  name   = "default"
}

resource "aws_instance" "web" {
  ami                                  = data.aws_ami.tiny.id
  instance_type                        = "pico_1_0"
  key_name                             = aws_key_pair.ops.key_name
  user_data                            = "#!/bin/sh\ntouch /root/marker\n"
  vpc_security_group_ids               = [data.aws_security_group.default.id]
  ebs_optimized                        = true
  instance_initiated_shutdown_behavior = var.changed ? "stop" : "terminate"
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = var.changed ? "optional" : "required"
  }
  root_block_device {
    volume_size = 2
    volume_type = "gp3"
  }
  tags = { Name = var.changed ? "web-2" : "web" }
}

resource "aws_ebs_volume" "web" {
  availability_zone = aws_instance.web.availability_zone
  size              = 1
}

resource "aws_volume_attachment" "web" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.web.id
  instance_id = aws_instance.web.id
}
