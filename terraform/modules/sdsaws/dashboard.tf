locals {
  # Each graph: a title, a statistic, and its metrics as CloudWatch writes them.
  graphs = [
    ["Write units", "Sum", [for t in values(local.tables) : ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", t]]],
    ["Read units", "Sum", [for t in values(local.tables) : ["AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", t]]],
    ["Throttles", "Sum", [for p in setproduct(["ReadThrottleEvents", "WriteThrottleEvents"], values(local.tables)) :
      ["AWS/DynamoDB", p[0], "TableName", p[1]]
    ]],
    ["Conflicts and fenced writers", "Sum", [
      ["AWS/DynamoDB", "TransactionConflict", "TableName", local.tables.state],
      ["AWS/DynamoDB", "ConditionalCheckFailedRequests", "TableName", local.tables.state],
      ["sdsaws", "FencedWriters"],
    ]],
    ["Archive lag", "Maximum", [for f in var.sweepers : ["sdsaws", "ArchiveLagMessages", "Service", "sweeper", "Function", f]]],
    ["Unswept age", "Maximum", [for f in var.sweepers : ["sdsaws", "UnsweptAgeSeconds", "Service", "sweeper", "Function", f]]],
    ["Sweeps", "Sum", concat(
      [for p in setproduct(["SweptChannels", "SweepFailures", "ElsewhereChannels"], var.sweepers) :
        ["sdsaws", p[0], "Service", "sweeper", "Function", p[1]]
      ],
      [for f in var.sweepers : ["AWS/Lambda", "Errors", "FunctionName", f]],
    )],
    ["Replication of tables, ms", "Average", [for p in setproduct(values(local.tables), keys(var.replicas)) :
      ["AWS/DynamoDB", "ReplicationLatency", "TableName", p[0], "ReceivingRegion", p[1]]
    ]],
    ["Objects to replicate", "Maximum", [for region, _ in var.replicas :
      ["AWS/S3", "OperationsPendingReplication", "SourceBucket", local.bucket, "DestinationBucket", local.buckets[region], "RuleId", "to-${region}"]
    ]],
  ]
}

resource "aws_cloudwatch_dashboard" "sdsaws" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for i, g in [for g in local.graphs : g if length(g[2]) > 0] : {
      type   = "metric"
      width  = 8
      height = 6
      x      = 8 * (i % 3)
      y      = 6 * floor(i / 3)
      properties = {
        title   = g[0]
        stat    = g[1]
        metrics = g[2]
        period  = 300
        region  = local.home
        view    = "timeSeries"
      }
    }]
  })
}
