data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "sweeper" {
  #checkov:skip=CKV_AWS_158:a KMS key of one's own is an option (log_kms_key_arn)
  #checkov:skip=CKV_AWS_338:the log holds namespaces and channel ids: a month is enough to look into a failure
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "sweeper" {
  #checkov:skip=CKV_AWS_50:the code makes no traces
  #checkov:skip=CKV_AWS_116:a sweep that failed is done by the next one, so there is nothing to keep
  #checkov:skip=CKV_AWS_117:it talks to DynamoDB and S3 alone, which want no VPC
  #checkov:skip=CKV_AWS_173:the variables are names, and no secret
  #checkov:skip=CKV_AWS_272:who signs their code adds it; the package's hash is in the state
  function_name    = var.name
  description      = "Archives what was evicted, goes on with what others have begun, removes what nothing refers to."
  role             = aws_iam_role.sweeper.arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds
  tags             = var.tags

  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = {
      SDSAWS_STATE_TABLE = var.state_table
      SDSAWS_HINTS_TABLE = var.hints_table
      SDSAWS_BUCKET      = var.bucket
      SDSAWS_PREFIX      = var.prefix
      SDSAWS_REGION      = var.region
      SDSAWS_NAMESPACES  = join(",", [for n in var.namespaces : can(regex("[\",]", n)) ? jsonencode(n) : n])
    }
  }

  logging_config {
    log_format = "Text" # metrics are lines of JSON, which Lambda's own JSON would wrap
    log_group  = aws_cloudwatch_log_group.sweeper.name
  }

  depends_on = [aws_iam_role_policy.logs, aws_iam_role_policy.sweep]
}

resource "aws_cloudwatch_event_rule" "sweep" {
  name                = var.name
  description         = "Sweeps namespaces of sdsaws."
  schedule_expression = var.schedule
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule = aws_cloudwatch_event_rule.sweep.name
  arn  = aws_lambda_function.sweeper.arn
}

resource "aws_lambda_permission" "schedule" {
  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.sweeper.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}

# The next sweep goes on where one stopped: nothing is tried again.
resource "aws_lambda_function_event_invoke_config" "sweeper" {
  function_name                = aws_lambda_function.sweeper.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 3600
}
