# Metrics of cmd/sweeper, which writes them into its log in CloudWatch's embedded metric
# format, and of Lambda.
locals {
  of_function = { Service = "sweeper", Function = var.name }
  alarms = {
    archive-lag = {
      description = "Evicted messages of a channel wait in its log: archiving is behind or fails."
      namespace   = "sdsaws", metric = "ArchiveLagMessages", dimensions = local.of_function
      statistic   = "Maximum", threshold = var.alarm_thresholds.archive_lag_messages, missing = "notBreaching"
    }
    # No sweep at all is no metric.
    unswept-age = {
      description = "A channel was not swept for long, or nothing sweeps."
      namespace   = "sdsaws", metric = "UnsweptAgeSeconds", dimensions = local.of_function
      statistic   = "Maximum", threshold = var.alarm_thresholds.unswept_seconds, missing = "breaching"
    }
    failures = {
      description = "Sweeps of channels fail: the log says which, and why."
      namespace   = "sdsaws", metric = "SweepFailures", dimensions = local.of_function
      statistic   = "Sum", threshold = var.alarm_thresholds.failures, missing = "notBreaching"
    }
    errors = {
      description = "The function itself fails."
      namespace   = "AWS/Lambda", metric = "Errors", dimensions = { FunctionName = var.name }
      statistic   = "Sum", threshold = var.alarm_thresholds.failures, missing = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "sweeper" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = var.alarm_period_seconds
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}
