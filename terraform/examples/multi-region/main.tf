provider "aws" {
  region = var.region
}

# A key for each region: replicas can't use that of another.
resource "aws_kms_key" "sdsaws" {
  #checkov:skip=CKV2_AWS_64:the default policy leaves the key to the account's IAM policies, as the module's
  for_each = toset([var.region, var.replica_region])

  region                  = each.key
  description             = "Tables and bucket of sdsaws."
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

module "sdsaws" {
  source = "../../modules/sdsaws"

  kms_key_arn  = aws_kms_key.sdsaws[var.region].arn
  replicas     = { (var.replica_region) = { kms_key_arn = aws_kms_key.sdsaws[var.replica_region].arn } }
  participants = { tenant = { namespace = var.tenant, below = true } }
}

resource "aws_iam_policy" "participants" {
  name   = "sds-participants"
  policy = module.sdsaws.participant_policies["tenant"]
}
