# For AWS: two security groups. Programs reach names and the proxy; the proxies reach port 443 of the world, and Earthflow's engines.
variable "vpc_id" { type = string }
variable "engines_cidr" { type = string } # where control, PostgreSQL and Redis are

resource "aws_security_group" "programs" {
  name        = "earthflow-programs"
  description = "Whoever is in it reaches the internet by Earthflow alone"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "proxies" {
  name        = "earthflow-proxies"
  description = "Earthflow proxies"
  vpc_id      = var.vpc_id
}

# A group that Terraform makes has no way out of its own: nothing but these is open.
resource "aws_vpc_security_group_egress_rule" "programs_to_proxies" {
  security_group_id            = aws_security_group.programs.id
  referenced_security_group_id = aws_security_group.proxies.id
  ip_protocol                  = "tcp"
  from_port                    = 8443
  to_port                      = 8443
}

resource "aws_vpc_security_group_ingress_rule" "proxies_from_programs" {
  security_group_id            = aws_security_group.proxies.id
  referenced_security_group_id = aws_security_group.programs.id
  ip_protocol                  = "tcp"
  from_port                    = 8443
  to_port                      = 8443
}

resource "aws_vpc_security_group_egress_rule" "proxies_to_providers" {
  security_group_id = aws_security_group.proxies.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "proxies_to_engines" {
  for_each          = toset(["6379", "8080"])
  security_group_id = aws_security_group.proxies.id
  cidr_ipv4         = var.engines_cidr
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
}
