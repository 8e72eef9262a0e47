variable "name" {
  description = "Name of the function, its role, log group and rule."
  type        = string
  default     = "sds-sweeper"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,54}$", var.name))
    error_message = "name has 1 to 54 letters, digits, '_' and '-'."
  }
}

variable "package" {
  description = "Path of the zip that holds cmd/sweeper as bootstrap, as make lambda builds it for an architecture."
  type        = string
  validation {
    condition     = endswith(var.package, ".zip")
    error_message = "package is the path of a .zip file."
  }
}

variable "architecture" {
  description = "Processor that the package was built for: arm64 (GOARCH=arm64) or x86_64 (GOARCH=amd64)."
  type        = string
  default     = "arm64"
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "memory_mb" {
  description = "Memory of the function, and with it its share of a processor. A segment takes some 100 MB while it is made."
  type        = number
  default     = 512
  validation {
    condition     = var.memory_mb >= 256 && var.memory_mb <= 10240 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb is from 256, below which a large segment may not fit, to 10240."
  }
}

variable "timeout_seconds" {
  description = "After how long Lambda ends a sweep. It stops by itself before, and the next goes on where it stopped."
  type        = number
  default     = 900
  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 900 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds is from 60 to 900, which is as long as Lambda lets a function run."
  }
}

variable "reserved_concurrency" {
  description = "How many sweeps run at the same time at most. More do no harm, and cost twice. -1 reserves nothing: of an account's concurrency AWS lets 100 be reserved by no one, and a new account may have no more."
  type        = number
  default     = 1
  validation {
    condition     = (var.reserved_concurrency == -1 || var.reserved_concurrency >= 1) && floor(var.reserved_concurrency) == var.reserved_concurrency
    error_message = "reserved_concurrency is 1 or more, or -1."
  }
}

variable "schedule" {
  description = "When to sweep, as EventBridge writes it: rate(1 hour), or cron(...)."
  type        = string
  default     = "rate(1 hour)"
  validation {
    condition     = can(regex("^(rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\\)|cron\\([^() ]+( [^() ]+){5}\\))$", var.schedule))
    error_message = "schedule is as rate(1 hour), rate(2 hours) or cron(0 3 * * ? *), which has six fields."
  }
}

variable "policy" {
  description = "IAM policy, in JSON, that lets the function sweep: sweeper_policy of modules/sdsaws."
  type        = string
  validation {
    condition     = can(jsondecode(var.policy).Statement)
    error_message = "policy is an IAM policy in JSON."
  }
}

variable "state_table" {
  description = "Name of the state table: state_table of modules/sdsaws."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.state_table))
    error_message = "state_table is the name of a table, not its ARN."
  }
}

variable "hints_table" {
  description = "Name of the hints table: hints_table of modules/sdsaws."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.hints_table))
    error_message = "hints_table is the name of a table, not its ARN."
  }
}

variable "bucket" {
  description = "Name of the bucket in the function's region: bucket of modules/sdsaws."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket is the name of a bucket, not its ARN."
  }
}

variable "prefix" {
  description = "What all names in the bucket begin with: prefix of modules/sdsaws."
  type        = string
  default     = ""
  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*/$", var.prefix))
    error_message = "prefix is empty or ends with '/', as that of modules/sdsaws."
  }
}

variable "region" {
  description = "The function's region where the tables have replicas, as in sdsaws.Options.Region: region of modules/sdsaws, and in a replica that replica's. Empty: there are none. Channels whose home is another region are left to its sweeper."
  type        = string
  default     = ""
  validation {
    condition     = contains(["", data.aws_region.current.region], var.region)
    error_message = "region is empty, or the region that the function is made in: with another each channel would be left to other sweepers."
  }
}

variable "namespaces" {
  description = "Namespaces to sweep, in turn. Empty: all that have channels. The policy stays as it is: sweeper_policy is for all namespaces."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for n in var.namespaces : n != "" && !can(regex("[*?]", n))])
    error_message = "None of namespaces is empty, or has '*' or '?'."
  }
  validation {
    condition     = length(base64encode(join(",", [for n in var.namespaces : jsonencode(n)]))) <= 4000
    error_message = "namespaces has 3000 bytes at most, with quotes and commas: a function's variables have 4 KB. Make several sweepers."
  }
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the function's log. It holds namespaces and channel ids."
  type        = number
  default     = 30
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the numbers that CloudWatch takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 and more."
  }
}

variable "log_kms_key_arn" {
  description = "KMS key that encrypts the log, whose policy lets CloudWatch Logs use it. Null: CloudWatch's own."
  type        = string
  default     = null
  validation {
    condition     = var.log_kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.log_kms_key_arn))
    error_message = "log_kms_key_arn is the ARN of a key, not of an alias."
  }
  validation {
    condition     = var.log_kms_key_arn == null || try(split(":", var.log_kms_key_arn)[3] == data.aws_region.current.region, false)
    error_message = "log_kms_key_arn is a key of the function's region."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms are sent to, and their end. Empty: alarms show in CloudWatch alone."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:", arn))])
    error_message = "alarm_topic_arns has ARNs of SNS topics."
  }
}

variable "alarm_thresholds" {
  description = "What each alarm stays silent below: evicted messages that wait in the log of one channel; seconds since a channel was swept; failures in alarm_period_seconds."
  type = object({
    archive_lag_messages = optional(number, 100000)
    unswept_seconds      = optional(number, 172800)
    failures             = optional(number, 1)
  })
  default = {}
  validation {
    condition     = alltrue([for _, n in var.alarm_thresholds : n > 0])
    error_message = "alarm_thresholds are above 0."
  }
}

variable "alarm_period_seconds" {
  description = "Over which time alarms look at the function's metrics. Longer than between two sweeps, since no metric at all is an alarm too."
  type        = number
  default     = 10800
  validation {
    condition     = var.alarm_period_seconds >= 60 && var.alarm_period_seconds <= 86400 && var.alarm_period_seconds % 60 == 0
    error_message = "alarm_period_seconds is a multiple of 60, up to 86400, a day, which is as far as an alarm looks back."
  }
}

variable "tags" {
  description = "Tags of all resources that have some."
  type        = map(string)
  default     = {}
}
