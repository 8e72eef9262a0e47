# Two tables over the same objects. The columns are those of internal/segment:
# terraform/tables_test.go compares them.
locals {
  segments = "s3://${local.bucket}/${var.prefix}segments/"
  entries  = "array<struct<message_id:binary,retrieval_hint:binary,sender_id:binary>>"
  columns = [
    ["namespace", "binary"],
    ["channel", "binary"],
    ["offset", "bigint"],
    ["message_id", "binary"],
    ["lamport", "bigint"],
    ["sender_id", "binary"],
    ["content", "binary"],
    ["bloom_filter", "binary"],
    ["causal_history", local.entries],
    ["repair_request", local.entries],
    ["archived_at", "timestamp"],
    ["raw", "binary"],
  ]

  # Folders have any bytes in hex, which no projection of integers, dates or a list covers:
  # queries must say which namespace and channel they mean.
  projection = {
    "projection.enabled"            = "true"
    "projection.namespace_hex.type" = "injected"
    "projection.channel_hex.type"   = "injected"
    "storage.location.template"     = "${local.segments}namespace=$${namespace_hex}/channel=$${channel_hex}/"
  }
  glue_tables = {
    archive            = { partitions = [], parameters = {} }
    archive_by_channel = { partitions = ["namespace_hex", "channel_hex"], parameters = local.projection }
  }
}

resource "aws_glue_catalog_database" "archive" {
  count = var.athena ? 1 : 0

  name        = replace(var.name, "-", "_")
  description = "The archive of sdsaws in ${local.bucket}."
}

# archive reads the footers of all segments; archive_by_channel one channel's folder, and
# wants namespace_hex and channel_hex in each query.
resource "aws_glue_catalog_table" "archive" {
  for_each = { for name, t in local.glue_tables : name => t if var.athena }

  name          = each.key
  database_name = aws_glue_catalog_database.archive[0].name
  table_type    = "EXTERNAL_TABLE"
  parameters    = merge({ EXTERNAL = "TRUE", classification = "parquet" }, each.value.parameters)

  dynamic "partition_keys" {
    for_each = each.value.partitions
    content {
      name = partition_keys.value
      type = "string"
    }
  }

  storage_descriptor {
    location      = local.segments
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.columns
      content {
        name = columns.value[0]
        type = columns.value[1]
      }
    }
  }
}
