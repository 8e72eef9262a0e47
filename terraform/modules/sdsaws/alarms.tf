locals {
  tables = { state = aws_dynamodb_table.state.name, hints = aws_dynamodb_table.hints.name }
}

# Throttled reads and writes of a table. The adapter slows down and loses nothing, but is behind.
resource "aws_cloudwatch_metric_alarm" "throttles" {
  for_each = local.tables

  alarm_name          = "${each.value}-throttles"
  alarm_description   = "Requests to ${each.value} are throttled: a channel is one partition, or the account's limit is reached."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.alarm_thresholds.throttles
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags

  metric_query {
    id          = "throttles"
    expression  = "FILL(reads, 0) + FILL(writes, 0)"
    label       = "throttled requests"
    return_data = true
  }

  metric_query {
    id = "reads"

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "ReadThrottleEvents"
      dimensions  = { TableName = each.value }
      period      = 300
      stat        = "Sum"
    }
  }

  metric_query {
    id = "writes"

    metric {
      namespace   = "AWS/DynamoDB"
      metric_name = "WriteThrottleEvents"
      dimensions  = { TableName = each.value }
      period      = 300
      stat        = "Sum"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "conflicts" {
  alarm_name          = "${local.tables.state}-conflicts"
  alarm_description   = "Transactions on one channel meet: two processes hold it, or sweep it, at the same time."
  namespace           = "AWS/DynamoDB"
  metric_name         = "TransactionConflict"
  dimensions          = { TableName = local.tables.state }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.alarm_thresholds.conflicts
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

# Lines with the event of sdsaws.Telemetry, or else with the text of sds.ErrFenced.
resource "aws_cloudwatch_log_metric_filter" "fenced" {
  for_each = var.participant_log_groups

  name           = "${var.name}-fenced-writers"
  log_group_name = each.value
  pattern        = "?\"channel lost\" ?\"fenced: the channel was claimed by another holder\""

  metric_transformation {
    namespace = "sdsaws"
    name      = "FencedWriters"
    value     = "1"
    unit      = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "fenced" {
  count = length(var.participant_log_groups) > 0 ? 1 : 0

  alarm_name          = "${var.name}-fenced-writers"
  alarm_description   = "A participant lost its channel to another process and went on: two work on one channel."
  namespace           = "sdsaws"
  metric_name         = "FencedWriters"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.alarm_thresholds.fenced
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "replication" {
  for_each = { for p in setproduct(keys(local.tables), keys(var.replicas)) : "${p[0]} ${p[1]}" => p }

  alarm_name          = "${local.tables[each.value[0]]}-behind-in-${each.value[1]}"
  alarm_description   = "The replica of ${local.tables[each.value[0]]} in ${each.value[1]} is behind: a takeover there loses what has not arrived."
  namespace           = "AWS/DynamoDB"
  metric_name         = "ReplicationLatency"
  dimensions          = { TableName = local.tables[each.value[0]], ReceivingRegion = each.value[1] }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.alarm_thresholds.replication_ms
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}
