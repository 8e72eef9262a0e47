provider "aws" {
  region = var.region
}

# Alarms tell of tables and metrics, nothing secret; AWS's own key for SNS would keep
# CloudWatch out.
resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:see above
  count = var.alarm_email == null ? 0 : 1

  name = "sds-alarms"
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

module "sdsaws" {
  source = "../../modules/sdsaws"

  participants     = { for n in var.participants : n => { namespace = n } }
  alarm_topic_arns = aws_sns_topic.alarms[*].arn
}

# A role's policy: attach it to what runs the participant.
resource "aws_iam_policy" "participant" {
  for_each = module.sdsaws.participant_policies

  name   = "sds-participant-${each.key}"
  policy = each.value
}
