# Keys, index and TTL attribute are those of package dynamo: terraform/tables_test.go
# compares them.

resource "aws_dynamodb_table" "state" {
  #checkov:skip=CKV_AWS_119:a KMS key of one's own is an option (kms_key_arn); DynamoDB encrypts in any case
  name                        = "${var.name}-state"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection
  stream_enabled              = length(var.replicas) > 0
  stream_view_type            = length(var.replicas) > 0 ? "NEW_AND_OLD_IMAGES" : null
  tags                        = var.tags

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  attribute {
    name = "ns"
    type = "S"
  }

  # Heads alone have ns, so it lists the channels of a namespace.
  global_secondary_index {
    name            = "channels"
    hash_key        = "ns"
    range_key       = "pk"
    projection_type = "KEYS_ONLY"
  }

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = var.recovery_days
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn[*]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }

  # Eventual consistency: tables of strong consistency have no transactions.
  dynamic "replica" {
    for_each = var.replicas
    content {
      region_name                 = replica.key
      consistency_mode            = "EVENTUAL"
      kms_key_arn                 = replica.value.kms_key_arn
      point_in_time_recovery      = true
      deletion_protection_enabled = var.deletion_protection
      propagate_tags              = true
    }
  }
}

resource "aws_dynamodb_table" "hints" {
  #checkov:skip=CKV_AWS_119:as above
  name                        = "${var.name}-hints"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  deletion_protection_enabled = var.deletion_protection
  stream_enabled              = length(var.replicas) > 0
  stream_view_type            = length(var.replicas) > 0 ? "NEW_AND_OLD_IMAGES" : null
  tags                        = var.tags

  attribute {
    name = "pk"
    type = "S"
  }

  ttl {
    attribute_name = "x"
    enabled        = true
  }

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = var.recovery_days
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn[*]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }

  dynamic "replica" {
    for_each = var.replicas
    content {
      region_name                 = replica.key
      consistency_mode            = "EVENTUAL"
      kms_key_arn                 = replica.value.kms_key_arn
      point_in_time_recovery      = true
      deletion_protection_enabled = var.deletion_protection
      propagate_tags              = true
    }
  }
}
