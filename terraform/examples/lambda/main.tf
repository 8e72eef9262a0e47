provider "aws" {
  region = var.region
}

module "sdsaws" {
  source = "../../modules/sdsaws"

  participants           = { participant = { namespace = var.namespace } }
  participant_log_groups = [aws_cloudwatch_log_group.participant.name]
}

module "sweeper" {
  source = "../../modules/sweeper"

  package     = var.sweeper_package
  policy      = module.sdsaws.sweeper_policy
  state_table = module.sdsaws.state_table
  hints_table = module.sdsaws.hints_table
  bucket      = module.sdsaws.bucket
  namespaces  = [var.namespace]
}

resource "aws_cloudwatch_log_group" "participant" {
  #checkov:skip=CKV_AWS_158:an example; see modules/sweeper for a key
  #checkov:skip=CKV_AWS_338:the log holds channel ids: a month is enough to look into a failure
  name              = "/aws/lambda/sds-participant"
  retention_in_days = 30
}

resource "aws_lambda_function" "participant" {
  #checkov:skip=CKV_AWS_50:the code makes no traces
  #checkov:skip=CKV_AWS_116:it is invoked directly, and its caller sees errors
  #checkov:skip=CKV_AWS_117:it talks to DynamoDB and S3 alone, which want no VPC
  #checkov:skip=CKV_AWS_173:the variables are names, and no secret
  #checkov:skip=CKV_AWS_272:an example
  function_name    = "sds-participant"
  description      = "A participant of SDS that keeps its channels by sdsaws."
  role             = aws_iam_role.participant.arn
  filename         = var.participant_package
  source_code_hash = filebase64sha256(var.participant_package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = ["arm64"]
  memory_size      = 512
  timeout          = 30

  # Two at the same time would fence each other: one channel has one holder.
  reserved_concurrent_executions = 1

  environment {
    variables = {
      SDSAWS_STATE_TABLE = module.sdsaws.state_table
      SDSAWS_HINTS_TABLE = module.sdsaws.hints_table
      SDSAWS_BUCKET      = module.sdsaws.bucket
      SDSAWS_NAMESPACE   = var.namespace
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.participant.name
  }

  depends_on = [aws_iam_role_policy.logs, aws_iam_role_policy.participant]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "logs" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.participant.arn}:*"]
  }
}

resource "aws_iam_role" "participant" {
  name               = "sds-participant"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "participant" {
  name   = "participant"
  role   = aws_iam_role.participant.id
  policy = module.sdsaws.participant_policies["participant"]
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.participant.id
  policy = data.aws_iam_policy_document.logs.json
}
