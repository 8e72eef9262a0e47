provider "aws" {
  region = var.region
}

module "sdsaws" {
  source = "../../modules/sdsaws"

  participants           = { participant = { namespace = var.namespace } }
  participant_log_groups = [aws_cloudwatch_log_group.participant.name]
  alarm_thresholds       = { fenced = 20 }
}

module "sweeper" {
  source = "../../modules/sweeper"

  package     = var.sweeper_package
  policy      = module.sdsaws.sweeper_policy
  state_table = module.sdsaws.state_table
  hints_table = module.sdsaws.hints_table
  bucket      = module.sdsaws.bucket
  prefix      = module.sdsaws.prefix
  region      = module.sdsaws.region
}

resource "aws_cloudwatch_log_group" "participant" {
  #checkov:skip=CKV_AWS_158:an example; see modules/sweeper for a key
  #checkov:skip=CKV_AWS_338:the log holds channel ids: a month is enough to look into a failure
  name              = "/aws/lambda/sds-participant"
  retention_in_days = 30
}

resource "aws_lambda_function" "participant" {
  #checkov:skip=CKV_AWS_50:the code makes no traces
  #checkov:skip=CKV_AWS_116:the queue has one
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

  # As many as the queue has at a time: more would be turned away, and count as failures.
  reserved_concurrent_executions = 2

  environment {
    variables = {
      SDSAWS_STATE_TABLE        = module.sdsaws.state_table
      SDSAWS_HINTS_TABLE        = module.sdsaws.hints_table
      SDSAWS_BUCKET             = module.sdsaws.bucket
      SDSAWS_PREFIX             = module.sdsaws.prefix
      SDSAWS_REGION             = module.sdsaws.region
      SDSAWS_NAMESPACE          = var.namespace
      SDSAWS_REJECTED_QUEUE_URL = aws_sqs_queue.dead.url
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.participant.name
  }

  depends_on = [aws_iam_role_policy.logs, aws_iam_role_policy.participant, aws_iam_role_policy.queue]
}

# A message's group is its channel, so that one invocation at a time works on a channel. What
# is sent twice is stored once, in any case.
resource "aws_sqs_queue" "messages" {
  name                        = "sds-messages.fifo"
  fifo_queue                  = true
  content_based_deduplication = true
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  sqs_managed_sse_enabled     = true
  visibility_timeout_seconds  = 180 # six times the function's timeout, as AWS has it
  message_retention_seconds   = 345600

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = 10
  })
}

# What can never be accepted, which the function sends here, and what couldn't be stored for
# half an hour.
resource "aws_sqs_queue" "dead" {
  name                        = "sds-messages-dead.fifo"
  fifo_queue                  = true
  content_based_deduplication = true
  sqs_managed_sse_enabled     = true
  message_retention_seconds   = 1209600
}

resource "aws_lambda_event_source_mapping" "messages" {
  event_source_arn        = aws_sqs_queue.messages.arn
  function_name           = aws_lambda_function.participant.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

data "aws_iam_policy_document" "queue" {
  statement {
    actions   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.messages.arn]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead.arn]
  }
}

resource "aws_iam_role_policy" "queue" {
  name   = "queue"
  role   = aws_iam_role.participant.id
  policy = data.aws_iam_policy_document.queue.json
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
