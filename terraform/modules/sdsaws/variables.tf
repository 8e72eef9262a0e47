variable "name" {
  description = "What the names of all resources begin with: <name>-state, <name>-hints and so on."
  type        = string
  default     = "sds"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name has 3 to 30 characters a-z, 0-9 and '-', begins with a letter and doesn't end with '-'."
  }
}

variable "bucket" {
  description = "Name of the bucket. Null: <name>-<account>-<region>. Replicas have '-' and their region behind it."
  type        = string
  default     = null
  validation {
    condition     = var.bucket == null || can(regex("^[a-z0-9][a-z0-9-]{1,45}[a-z0-9]$", var.bucket))
    error_message = "bucket has 3 to 47 characters a-z, 0-9 and '-', none of them '-' at an end, so that a region fits behind it."
  }
}

variable "prefix" {
  description = "What all names in the bucket begin with, as in sdsaws.Resources.Prefix: empty, or ending with '/'."
  type        = string
  default     = ""
  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*/$", var.prefix))
    error_message = "prefix is empty or ends with '/', and has letters, digits, '.', '_', '~' and '-' between slashes."
  }
}

variable "deletion_protection" {
  description = "Whether the tables refuse to be deleted, in all regions."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "KMS key that encrypts tables and bucket, in the module's region. Null: AWS's own keys, which cost nothing."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, not of an alias."
  }
  validation {
    condition     = var.kms_key_arn == null || try(split(":", var.kms_key_arn)[3] == local.home, false)
    error_message = "kms_key_arn is a key of the module's region."
  }
}

variable "recovery_days" {
  description = "How many days point-in-time recovery of the tables reaches back. noncurrent_days must be no less."
  type        = number
  default     = 35
  validation {
    condition     = var.recovery_days >= 1 && var.recovery_days <= 35 && floor(var.recovery_days) == var.recovery_days
    error_message = "recovery_days is from 1 to 35, which is all that DynamoDB keeps."
  }
}

variable "noncurrent_days" {
  description = "After how many days a deleted or replaced object of the bucket goes for good. A restored table refers to objects of its time, so no sooner than point-in-time recovery reaches back at most."
  type        = number
  default     = 35
  validation {
    condition     = var.noncurrent_days >= 35 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days is 35 or more: a table that is restored to a point in time needs the objects of that time."
  }
}

variable "abort_uploads_days" {
  description = "After how many days an unfinished multipart upload is aborted. sdsaws makes none; copies by other tools do."
  type        = number
  default     = 7
  validation {
    condition     = var.abort_uploads_days >= 1 && floor(var.abort_uploads_days) == var.abort_uploads_days
    error_message = "abort_uploads_days is 1 or more."
  }
}

variable "tier_segments" {
  description = "After how many days segments of 128 KB and more go to another storage class, and which. Null: never. Only classes that answer at once."
  type = object({
    days          = number
    storage_class = string
  })
  default = {
    days          = 90
    storage_class = "STANDARD_IA"
  }
  validation {
    condition     = var.tier_segments == null || contains(["STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR"], try(var.tier_segments.storage_class, ""))
    error_message = "storage_class is STANDARD_IA, INTELLIGENT_TIERING or GLACIER_IR: readers can't wait for a restore, and ONEZONE_IA keeps one copy."
  }
  validation {
    condition     = var.tier_segments == null || try(var.tier_segments.days >= 0 && floor(var.tier_segments.days) == var.tier_segments.days, false)
    error_message = "days of tier_segments is a whole number from 0."
  }
  validation {
    condition     = var.tier_segments == null || try(var.tier_segments.storage_class != "STANDARD_IA" || var.tier_segments.days >= 30, false)
    error_message = "S3 lets objects into STANDARD_IA after 30 days at the earliest."
  }
}

variable "replicas" {
  description = "Regions that get a replica of tables and bucket, each with the KMS key of that region where kms_key_arn is set. See docs/design.md, section 9, before."
  type = map(object({
    kms_key_arn = optional(string)
  }))
  default = {}
  validation {
    condition     = alltrue([for region, _ in var.replicas : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", region))])
    error_message = "replicas has names of regions as keys, as eu-central-1."
  }
  validation {
    condition     = alltrue([for _, r in var.replicas : (r.kms_key_arn == null) == (var.kms_key_arn == null)])
    error_message = "Either kms_key_arn and each replica have a KMS key, or none has."
  }
  validation {
    condition     = alltrue([for region, r in var.replicas : r.kms_key_arn == null || try(split(":", r.kms_key_arn)[3] == region, false)])
    error_message = "The KMS key of a replica is one of its region."
  }
  validation {
    condition     = !contains(keys(var.replicas), local.home)
    error_message = "replicas has other regions than the module's own."
  }
}

variable "participants" {
  description = "Policies to make for participants, by a name of yours: each is confined to a namespace, and with below also to all that begin with it and '/'."
  type = map(object({
    namespace = string
    below     = optional(bool, false)
  }))
  default = {}
  validation {
    condition     = alltrue([for _, p in var.participants : can(regex("^[ -~]{1,100}$", p.namespace)) && !can(regex("[*?]", p.namespace))])
    error_message = "A namespace has 1 to 100 printable ASCII characters, none of them '*' or '?'; for others write the policy by docs/security.md."
  }
}

variable "readers" {
  description = "Policies to make for those who only read history, messages and hints, as participants."
  type = map(object({
    namespace = string
    below     = optional(bool, false)
  }))
  default = {}
  validation {
    condition     = alltrue([for _, p in var.readers : can(regex("^[ -~]{1,100}$", p.namespace)) && !can(regex("[*?]", p.namespace))])
    error_message = "A namespace has 1 to 100 printable ASCII characters, none of them '*' or '?'; for others write the policy by docs/security.md."
  }
}

variable "athena" {
  description = "Whether to make a Glue database for Athena, with tables over the archive."
  type        = bool
  default     = true
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
  description = "What each alarm stays silent below: events in five minutes, of throttles, transaction conflicts and fenced writers; milliseconds of a replica's lag."
  type = object({
    throttles      = optional(number, 1)
    conflicts      = optional(number, 10)
    fenced         = optional(number, 1)
    replication_ms = optional(number, 60000)
  })
  default = {}
  validation {
    condition     = alltrue([for _, n in var.alarm_thresholds : n > 0])
    error_message = "alarm_thresholds are above 0."
  }
}

variable "sweepers" {
  description = "Names of the functions that sweep, for the dashboard: name of modules/sweeper. Empty: none are shown."
  type        = list(string)
  default     = ["sds-sweeper"]
  validation {
    condition     = alltrue([for f in var.sweepers : can(regex("^[A-Za-z0-9_-]{1,64}$", f))])
    error_message = "sweepers has names of functions, not ARNs."
  }
}

variable "participant_log_groups" {
  description = "Log groups of participants, in the module's region: lines of sdsaws.Telemetry about a channel that was lost, or else with the text of sds.ErrFenced, are counted as FencedWriters."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for g in var.participant_log_groups : can(regex("^[A-Za-z0-9_/.#-]{1,512}$", g))])
    error_message = "participant_log_groups has names of log groups, not ARNs."
  }
}

variable "tags" {
  description = "Tags of all resources that have some."
  type        = map(string)
  default     = {}
}
