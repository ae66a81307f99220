# Instances and their disks, as Lightsail has them. What the second apply changes is changed in place.

resource "aws_lightsail_key_pair" "ops" {
  name = "ops"
}

resource "aws_lightsail_instance" "web" {
  name              = "web"
  availability_zone = data.aws_availability_zones.all.names[0]
  blueprint_id      = "tiny"
  bundle_id         = "pico_1_0"
  key_pair_name     = aws_lightsail_key_pair.ops.name
  user_data         = "#!/bin/sh\ntouch /root/marker\n"
  add_on {
    type          = "AutoSnapshot"
    snapshot_time = var.changed ? "07:00" : "06:00"
    status        = "Enabled"
  }
  tags = { role = var.changed ? "spare" : "web" }
}

resource "aws_lightsail_disk" "data" {
  name              = "web-data"
  availability_zone = data.aws_availability_zones.all.names[0]
  size_in_gb        = 8
  tags              = { role = var.changed ? "spare" : "web" }
}

resource "aws_lightsail_disk_attachment" "data" {
  disk_name     = aws_lightsail_disk.data.name
  instance_name = aws_lightsail_instance.web.name
  disk_path     = "/dev/xvdf"
}

resource "aws_lightsail_static_ip" "web" {
  name = "web-address"
}

resource "aws_lightsail_static_ip_attachment" "web" {
  static_ip_name = aws_lightsail_static_ip.web.name
  instance_name  = aws_lightsail_instance.web.name
}

resource "aws_lightsail_instance_public_ports" "web" {
  instance_name = aws_lightsail_instance.web.name
  port_info {
    protocol   = "tcp"
    from_port  = 22
    to_port    = 22
    cidrs      = ["0.0.0.0/0"]
    ipv6_cidrs = ["::/0"]
  }
  port_info {
    protocol   = "tcp"
    from_port  = 8080
    to_port    = 8081
    cidrs      = ["127.0.0.0/8"]
    ipv6_cidrs = ["::1/128"]
  }
  port_info {
    protocol  = "tcp"
    from_port = 8443
    to_port   = 8443
    cidrs     = ["127.0.0.0/8", "10.0.0.0/8"]
  }
}
